"""``irec benchmark coder --checkpoint``: coders side by side on what a model has them send."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from irec.codec import Codec, make_codec
from irec.coding import (
    CoderSettings,
    SearchSettings,
    TensorCode,
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
from irec.terminal import table_of

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
    n_beams: Sequence[int],
    report: Callable[[str], None],
) -> list[PosteriorRow]:
    """Code a model's posteriors of photographs with each coder.

    Args:
        checkpoint: Name or folder.
        images: Folder of images, or None for the bundled photographs.
        side: Pixels of the square in the middle of each image that is taken.
        quality: Of a lossy model, 0 to 100.
        n_beams: Hypotheses of searches to measure besides those of efforts.
        report: Called with each coder's name when it is done.

    Raises:
        InvalidParameterError: The model has no latent tensors.
    """
    codec = make_codec(load_checkpoint(checkpoint))
    pairs: list[tuple[int, Pair]] = []
    for path in image_paths(images or SAMPLES):
        pairs += enumerate(posteriors_of(codec, path, side, quality))
    if not pairs:
        raise InvalidParameterError(
            f"{checkpoint} has no latent tensors, so there is nothing to measure: rvae-small and "
            "transform-vae-photo have some"
        )
    rows: list[PosteriorRow] = []
    for name, coder in _coders(codec.profile.coder, n_beams).items():
        try:
            # Tables are built, and code compiled, at the first use.
            coder.costs([_short(pairs[0][1])])
            rows += _measure(name, coder, pairs)
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
    headings = ("coder", "tensors", "KL, nats", "loss", "encode, us/nat", "decode, us/nat")
    cells = (
        (
            row.coder,
            f"{row.tensors} {row.kind}",
            f"{row.kl_nats:.0f}",
            f"{100 * row.loss:.1f} %",
            f"{1e6 * row.encode_s / row.kl_nats:.1f}",
            f"{1e6 * row.decode_s / row.kl_nats:.2f}",
        )
        for row in rows
    )
    return table_of(f"Posteriors of {checkpoint}", headings, cells, n_names=2)


@dataclass(frozen=True)
class Coder:
    """A coder to be measured.

    Attributes:
        encode: Takes posterior and prior of a tensor of each image, seed and number of the tensor.
        decode: Takes what that gave for one image, its prior, seed and number.
        nats: That were sent for one image.
    """

    encode: Callable[[Sequence[Pair], int, int], list[Any]]
    decode: Callable[[Any, Normal, int, int], Tensor]
    nats: Callable[[Any], float]

    def costs(self, pairs: Sequence[Pair], seed: int = 0, tensor: int = 0) -> np.ndarray:
        """KL, nats sent, log-ratio, seconds of the encoder and of the decoder: sums over `pairs`.

        Args:
            pairs: Posterior and prior of the same tensor of each image.
            seed: Of the shared randomness.
            tensor: Number of the tensor.
        """
        start = time.perf_counter()
        found = self.encode(pairs, seed, tensor)
        between = time.perf_counter()
        samples = [
            self.decode(one, prior, seed, tensor)
            for one, (_, prior) in zip(found, pairs, strict=True)
        ]
        decode_s = time.perf_counter() - between
        kl = sum(float(kl_nats(*pair)) for pair in pairs)
        sent = sum(map(self.nats, found))
        log_ratio = sum(
            float(log_ratio_nats(z, *pair)) for z, pair in zip(samples, pairs, strict=True)
        )
        return np.array([kl, sent, log_ratio, between - start, decode_s])


def paper_coder(settings: FaithfulSettings) -> Coder:
    """Return what codes a tensor as the paper does."""
    return Coder(
        lambda pairs, seed, tensor: [
            encode_faithful(*pair, seed, tensor=tensor, settings=settings) for pair in pairs
        ],
        lambda code, prior, seed, tensor: decode_faithful(
            code, prior, seed, tensor=tensor, settings=settings
        ),
        lambda code: code.n_nats(settings),
    )


def our_coder(coder: CoderSettings, search: SearchSettings) -> Coder:
    """Return what codes tensors as files have them, together as `irec predict` does."""

    def encode(pairs: Sequence[Pair], seed: int, tensor: int) -> list[TensorCode]:
        posterior, prior = (
            Normal(
                torch.stack([one.loc for one in normals]),
                torch.stack([one.scale for one in normals]),
                validate_args=False,
            )
            for normals in zip(*pairs, strict=True)
        )
        return encode_batch(posterior, prior, seed, tensor=tensor, coder=coder, search=search)

    return Coder(
        encode,
        lambda code, prior, seed, tensor: decode(code, prior, seed, tensor=tensor, coder=coder),
        lambda code: code.n_bits(coder) * math.log(2.0),
    )


def _coders(coder: CoderSettings, n_beams: Sequence[int]) -> dict[str, Coder]:
    paper = {f"paper, {one}": paper_coder(FaithfulSettings(sampler=one)) for one in Sampler}
    searches = {f"effort {effort}": SearchSettings.from_effort(effort) for effort in _EFFORTS}
    searches |= {f"{n} beams": SearchSettings(n_beams=n) for n in n_beams}
    ours = {f"irec, {name}": our_coder(coder, search) for name, search in searches.items()}
    return paper | ours


def _measure(name: str, coder: Coder, pairs: Sequence[tuple[int, Pair]]) -> Iterator[PosteriorRow]:
    for kind in ("dense", "diffuse"):
        alike: dict[tuple[int, torch.Size], list[Pair]] = {}
        for tensor, pair in pairs:
            if _kind(*pair) == kind:
                alike.setdefault((tensor, pair[0].loc.shape), []).append(pair)
        costs = [coder.costs(group, tensor=tensor) for (tensor, _), group in alike.items()]
        sums = np.sum(costs, axis=0).tolist() if costs else [0.0]
        if sums[0] > 0:
            yield PosteriorRow(name, kind, sum(map(len, alike.values())), *sums)


def _kind(posterior: Normal, prior: Normal) -> str:
    kl = kl_divergence(posterior, prior)
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
