"""``irec benchmark coder --checkpoint``: coders side by side on what a model has them send."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from rich.table import Table
from torch import Tensor
from torch.distributions import Normal

from irec.codec import Codec, make_codec
from irec.coding import (
    CoderSettings,
    SearchSettings,
    decode,
    encode_batch,
    kl_nats,
    log_ratio_nats,
)
from irec.coding.faithful import FaithfulSettings, Sampler, decode_faithful, encode_faithful
from irec.defaults import SAMPLES
from irec.errors import InvalidParameterError
from irec.images import image_paths, read_picture
from irec.models.zoo import load_checkpoint

_EFFORTS = (1, 5, 9)
# A dimension of more nats holds most of what a dense tensor's dimensions hold.
_DENSE_NATS = 1.0

Pair = tuple[Normal, Normal]


@dataclass(frozen=True)
class PosteriorRow:
    """What a coder makes of the tensors of one kind, all images together.

    Attributes:
        coder: Its name.
        kind: "dense" where most of the KL is in dimensions of more than a nat, "diffuse" where not.
        tensors: Tensors coded.
        kl_nats: Their KL.
        sent_nats: What was sent.
        log_ratio_nats: Of the samples; what was sent beyond these is lost.
        encode_s: Seconds of the encoder.
        decode_s: Seconds of the decoder.
    """

    coder: str
    kind: str
    tensors: int
    kl_nats: float
    sent_nats: float
    log_ratio_nats: float
    encode_s: float
    decode_s: float

    @property
    def loss(self) -> float:
        """Share of the KL that was sent in vain."""
        return (self.sent_nats - self.log_ratio_nats) / self.kl_nats


def benchmark_posteriors(
    checkpoint: str,
    images: Path | None,
    side: int,
    quality: float | None,
    report: Callable[[str], None],
) -> list[PosteriorRow]:
    """Code a model's posteriors of photographs with each coder.

    Args:
        checkpoint: Name or folder.
        images: Folder of images, or None for the bundled photographs.
        side: Pixels of the square in the middle of each image that is taken.
        quality: Of a lossy model, 0 to 100.
        report: Called with each coder's name when it is done.
    """
    codec = make_codec(load_checkpoint(checkpoint))
    pairs: list[tuple[int, Pair]] = []
    for path in image_paths(images or SAMPLES):
        pairs += enumerate(posteriors_of(codec, path, side, quality))
    rows: list[PosteriorRow] = []
    for name, code in _coders(codec.profile.coder).items():
        try:
            # Tables are built, and code compiled, at the first use.
            code(0, 0, [_short(pairs[0][1])])
            rows += _measure(name, code, pairs)
        except InvalidParameterError as error:
            report(f"{name}: {error}")
        else:
            report(f"{name}: done")
    return rows


def posteriors_of(codec: Codec, path: Path, side: int, quality: float | None) -> list[Pair]:
    """Return posterior and prior of each latent tensor of a photograph, [1, c, h, w] in float64.

    Args:
        codec: Of the model.
        path: Of the photograph.
        side: Pixels of the square in its middle that is taken.
        quality: Of a lossy model, 0 to 100.
    """
    pixels = read_picture(path).pixels
    top, left = (max(0, (size - side) // 2) for size in pixels.shape[:2])
    square = pixels[top : top + side, left : left + side]
    return [(_exact(q), _exact(p)) for q, p in codec.posteriors(square, quality)]


def posteriors_table(checkpoint: str, rows: Sequence[PosteriorRow]) -> Table:
    """Return the rows as a table."""
    table = Table(title=f"Posteriors of {checkpoint}")
    headings = ("coder", "tensors", "KL, nats", "loss", "encode, us/nat", "decode, us/nat")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in headings[:2] else "right")
    for row in rows:
        table.add_row(
            row.coder,
            f"{row.tensors} {row.kind}",
            f"{row.kl_nats:.0f}",
            f"{100 * row.loss:.1f} %",
            f"{1e6 * row.encode_s / row.kl_nats:.1f}",
            f"{1e6 * row.decode_s / row.kl_nats:.2f}",
        )
    return table


class Coded(NamedTuple):
    """What a coder made of some tensors.

    Attributes:
        sent_nats: All together.
        encode_s: Seconds for all of them.
        samples: Decoded, one for each tensor.
        decode_s: Seconds for all of them.
    """

    sent_nats: float
    encode_s: float
    samples: list[Tensor]
    decode_s: float


# Takes seed, number of a tensor, and posterior and prior of that tensor of each image.
Code = Callable[[int, int, Sequence[Pair]], Coded]


def _coders(coder: CoderSettings) -> dict[str, Code]:
    coders = {
        f"paper, {sampler}": paper_coder(FaithfulSettings(sampler=sampler)) for sampler in Sampler
    }
    ours = {
        f"irec, effort {effort}": our_coder(coder, SearchSettings.from_effort(effort))
        for effort in _EFFORTS
    }
    return coders | ours


def paper_coder(settings: FaithfulSettings) -> Code:
    """Return what codes a tensor as the paper does, and decodes it."""

    def code(seed: int, tensor: int, pairs: Sequence[Pair]) -> Coded:
        start = time.perf_counter()
        found = [encode_faithful(*pair, seed, tensor=tensor, settings=settings) for pair in pairs]
        between = time.perf_counter()
        samples = [
            decode_faithful(one, prior, seed, tensor=tensor, settings=settings)
            for one, (_, prior) in zip(found, pairs, strict=True)
        ]
        sent = sum(one.n_nats(settings) for one in found)
        return Coded(sent, between - start, samples, time.perf_counter() - between)

    return code


def our_coder(coder: CoderSettings, search: SearchSettings) -> Code:
    """Return what codes tensors as files have them, together as `irec predict` does."""

    def code(seed: int, tensor: int, pairs: Sequence[Pair]) -> Coded:
        posterior, prior = (_together(normals) for normals in zip(*pairs, strict=True))
        start = time.perf_counter()
        found = encode_batch(posterior, prior, seed, tensor=tensor, coder=coder, search=search)
        between = time.perf_counter()
        samples = [
            decode(one, prior, seed, tensor=tensor, coder=coder)
            for one, (_, prior) in zip(found, pairs, strict=True)
        ]
        sent = sum(one.n_bits(coder) for one in found) * math.log(2.0)
        return Coded(sent, between - start, samples, time.perf_counter() - between)

    return code


def _measure(name: str, code: Code, pairs: Sequence[tuple[int, Pair]]) -> Iterator[PosteriorRow]:
    for kind in ("dense", "diffuse"):
        alike: dict[tuple[int, torch.Size], list[Pair]] = {}
        for tensor, pair in pairs:
            if _kind(*pair) == kind:
                alike.setdefault((tensor, pair[0].loc.shape), []).append(pair)
        sums = [0.0] * 5
        for (tensor, _), group in alike.items():
            coded = code(0, tensor, group)
            kl = sum(float(kl_nats(*pair)) for pair in group)
            log_ratio = sum(
                float(log_ratio_nats(z, *pair))
                for z, pair in zip(coded.samples, group, strict=True)
            )
            of_group = (kl, coded.sent_nats, log_ratio, coded.encode_s, coded.decode_s)
            sums = [total + value for total, value in zip(sums, of_group, strict=True)]
        if sums[0] > 0:
            yield PosteriorRow(name, kind, sum(map(len, alike.values())), *sums)


def _together(normals: Sequence[Normal]) -> Normal:
    loc, scale = (torch.stack([getattr(one, name) for one in normals]) for name in ("loc", "scale"))
    return Normal(loc, scale, validate_args=False)


def _kind(posterior: Normal, prior: Normal) -> str:
    spread = posterior.scale.double() / prior.scale.double()
    shift = (posterior.loc.double() - prior.loc.double()) / prior.scale.double()
    kl = 0.5 * (shift.square() + spread.square() - 1.0) - spread.log()
    return "dense" if float(kl[kl > _DENSE_NATS].sum()) > 0.5 * float(kl.sum()) else "diffuse"


def _exact(normal: Normal) -> Normal:
    return Normal(normal.loc.double(), normal.scale.double(), validate_args=False)


def _short(pair: Pair) -> Pair:
    """Return a few dimensions."""
    posterior, prior = (
        Normal(one.loc.flatten()[:16], one.scale.flatten()[:16], validate_args=False)
        for one in pair
    )
    return posterior, prior
