"""The encoder's joint beam search over the tree code of :mod:`irec.coding`.

Streams, of one tensor or of many images, advance in lockstep: at every iteration each live stream
extends its beams by one step of the block whose turn it is. A hypothesis is a partial sum S of
auxiliary variables for each block; the search keeps it as d = S - c m, because expanded in powers
of S narrow posteriors cancel in float32. With q = 1/c - 1/v, where v is the posterior variance of
S, the log-ratio is

    ln posterior(S)/prior(S) = sum_dims d (q d / 2 + m) + constants that all beams share,

so the ratios of all candidates a = sign * sigma * E of all beams are one matrix product,
((q d + m) * sign) (sigma E)^T, plus the beams' own terms and a term q a^2 / 2 free of signs.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from irec.coding.blocks import FoundPath, Step, StepSequence, Stream
from irec.coding.codebook import Codebook
from irec.coding.hypotheses import Ancestors, Hypotheses
from irec.coding.settings import Order
from irec.coding.shared_randomness import SharedRandomness, extend_hash, sign_pool_row

_GROUP = 8


@torch.inference_mode()
def search_streams(
    streams: Sequence[Stream],
    codebook: Codebook,
    randomness: SharedRandomness,
    n_beams: int,
    order: Order,
) -> list[FoundPath]:
    """Return the best path of indices that the beam search finds for each stream.

    Args:
        streams: The streams, longest first (in steps), so that the live ones are always a prefix.
        codebook: Holds all their columns.
        randomness: The tensor's random numbers, which all streams share.
        n_beams: Hypotheses B kept per stream.
        order: Of the paths.
    """
    lengths = [stream.n_steps for stream in streams]
    steps = StepSequence(streams, codebook, order)
    numbers = torch.tensor([stream.number for stream in streams], device=randomness.device)
    beams = Beams(steps, randomness.first_hash(numbers), n_beams)
    for iteration in range(lengths[0]):
        n_live = sum(length > iteration for length in lengths)
        beams.drop_finished(n_live)
        beams.extend(steps.at(iteration, n_live))
    return beams.best_paths(lengths)


class Beams:
    """The hypotheses of all live streams, and how they came about.

    Attributes:
        log_ratio: Of each beam of the live streams, over all blocks and up to a constant that
            beams share: the constants that the scores lack.
    """

    def __init__(self, steps: StepSequence, first_hash: Int64[Tensor, " n"], n_beams: int) -> None:
        """Begin with one beam per stream.

        Args:
            steps: What the streams will be extended by.
            first_hash: Path hash with which each stream begins.
            n_beams: Beams B.
        """
        n, device = first_hash.numel(), first_hash.device
        self._codebook = steps.codebook
        self._hypotheses = Hypotheses(steps, n, n_beams)
        self._hash = first_hash.unsqueeze(1).expand(n, n_beams)
        # One beam is real at first, or all would be the same.
        self.log_ratio: Float64[Tensor, "n B"] = torch.full(
            (n, n_beams), -torch.inf, dtype=torch.float64, device=device
        )
        self.log_ratio[:, 0] = 0.0
        self._best = torch.zeros(n, dtype=torch.int64, device=device)
        self._best_ratio = torch.zeros(n, dtype=torch.float64, device=device)
        self._history: list[tuple[Tensor, Tensor]] = []

    def drop_finished(self, n_live: int) -> None:
        """Keep the first ``n_live`` streams, and note the best beam of those that end."""
        n = self.log_ratio.shape[0]
        if n_live < n:
            self._best_ratio[n_live:n], self._best[n_live:n] = self.log_ratio[n_live:].max(1)
            self._hash, self.log_ratio = self._hash[:n_live], self.log_ratio[:n_live]

    def extend(self, step: Step) -> None:
        """Extend every beam by every candidate of one step, and keep the best."""
        pool_row = sign_pool_row(self._hash)  # [n, B]
        ancestors = self._hypotheses.ancestors(step)
        other_blocks = self.log_ratio - ancestors.log_ratio
        # Only differences matter, and near zero float32 resolves them best.
        lead = (other_blocks - other_blocks.amax(1, keepdim=True)).float()
        signs = self._codebook.signs(pool_row, step.places)
        score = _score_candidates(step, ancestors, lead, signs)
        best_score, best = _top(score.flatten(1), lead.shape[1])
        parent, index = best // score.shape[2], best % score.shape[2]
        self._history.append((parent.int(), index.int()))

        self._hash = extend_hash(self._hash.gather(1, parent), index)
        # Beams that are not real yet have infinity less infinity here.
        this_block = (best_score - lead.gather(1, parent)).nan_to_num_(nan=0.0).double()
        self.log_ratio = other_blocks.gather(1, parent) + this_block
        made_from = torch.stack((ancestors.of_beam, pool_row), 2)
        self._hypotheses.extend(step, made_from, parent, index, this_block)

    def best_paths(self, lengths: list[int]) -> list[FoundPath]:
        """Return the way to each stream's best beam."""
        self.drop_finished(0)
        beam = self._best
        path = torch.zeros(len(lengths), lengths[0], dtype=torch.int64, device=beam.device)
        for iteration in reversed(range(lengths[0])):
            parent, index = self._history[iteration]
            n = parent.shape[0]
            at = beam[:n].unsqueeze(1)
            path[:n, iteration] = index.gather(1, at).squeeze(1)
            beam[:n] = parent.gather(1, at).squeeze(1)
        ratios = self._best_ratio.tolist()
        return [FoundPath(path[n, :length], ratios[n]) for n, length in enumerate(lengths)]


def _score_candidates(
    step: Step,
    ancestors: Ancestors,
    lead: Float32[Tensor, "n B"],
    signs: Float32[Tensor, "n B A"],
) -> Float32[Tensor, "n B M"]:
    """Return the log-ratios of all candidates of all beams, up to a constant of each stream."""
    offset, slope = ancestors.offset, step.slope.unsqueeze(1)
    pull = torch.addcmul(slope, step.curvature.unsqueeze(1), offset)  # q d + m, [n, U, A]
    own = torch.linalg.vecdot(pull, offset)
    own.add_(torch.linalg.vecdot(slope, offset)).mul_(0.5)
    pull = ancestors.per_beam(pull).mul_(signs)
    linear = torch.bmm(pull, step.rows.transpose(1, 2))
    shared = (lead + ancestors.per_beam(own)).unsqueeze(2) + step.quadratic.unsqueeze(1)
    return torch.stack((shared + linear, shared - linear), 3).flatten(2)


def _top(score: Float32[Tensor, "n size"], k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest entries of each row and where they are, in any order.

    They lie in the k groups with the largest maxima, so that two selections among few entries
    replace one among many.
    """
    n, size = score.shape
    stride = size // _GROUP
    if size % _GROUP or stride <= 2 * k:
        best = _largest(score, k)
        return score.gather(1, best), best
    groups = _largest(score.view(n, _GROUP, stride).amax(1), k).unsqueeze(1)  # [n, 1, k]
    members = groups + torch.arange(0, size, stride, device=score.device).unsqueeze(1)
    members = members.flatten(1)  # [n, 8 k]
    candidates = score.gather(1, members)
    best = _largest(candidates, k)
    return candidates.gather(1, best), members.gather(1, best)


def _largest(values: Float32[Tensor, "n size"], k: int) -> Int64[Tensor, "n k"]:
    """Return where the k largest entries of each row are."""
    if values.device.type == "cpu":  # NumPy is four times as fast there
        n_less = values.shape[1] - k
        return torch.from_numpy(np.argpartition(values.numpy(), n_less, axis=1)[:, n_less:])
    return values.topk(k, sorted=False).indices
