"""The encoder's joint beam search over the tree code of :mod:`irec.coding`.

Streams, of one tensor or of many images, advance in lockstep: at every iteration each live stream
extends its beams by one step of its current block. A hypothesis is a partial sum S of auxiliary
variables; the search keeps it as d = S - c m, because expanded in powers of S narrow posteriors
cancel in float32. With q = 1/c - 1/v, where v is the posterior variance of S, the log-ratio is

    ln posterior(S)/prior(S) = sum_dims d (q d / 2 + m) + constants that all beams share,

so the ratios of all candidates a = sign * sigma * E of all beams are one matrix product,
((q d + m) * sign) (sigma E)^T, plus the beams' own terms and a term q a^2 / 2 free of signs.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

from irec.coding.blocks import CurrentBlocks, Stream
from irec.coding.codebook import Codebook
from irec.coding.shared_randomness import (
    SharedRandomness,
    extend_hash,
    sign_pool_row,
)

_GROUP = 8


def search_streams(
    streams: Sequence[Stream], codebook: Codebook, randomness: SharedRandomness, n_beams: int
) -> list[Int64[Tensor, " steps"]]:
    """Return the best path of indices that the beam search finds for each stream.

    Args:
        streams: The streams, longest first (in steps), so that the live ones are always a prefix.
        codebook: Holds all their columns.
        randomness: The tensor's random numbers, which all streams share.
        n_beams: Hypotheses B kept per stream.
    """
    lengths = [stream.n_steps for stream in streams]
    blocks = CurrentBlocks(streams, codebook)
    numbers = torch.tensor([stream.number for stream in streams], device=randomness.device)
    beams = _Beams(blocks, randomness.first_hash(numbers), n_beams)
    for iteration in range(lengths[0]):
        n_live = sum(length > iteration for length in lengths)
        beams.drop_finished(n_live)
        beams.restart(blocks.load_starting(iteration, n_live))
        beams.extend(blocks.rows_at(iteration, n_live))
    return beams.best_paths(lengths)


class _Beams:
    """The hypotheses of all live streams, and how they came about."""

    def __init__(self, blocks: CurrentBlocks, first_hash: Tensor, n_beams: int) -> None:
        n, width = blocks.slope.shape
        device = first_hash.device
        self._blocks = blocks
        self._hash = first_hash.unsqueeze(1).expand(n, n_beams)
        self._offset = torch.zeros(n, n_beams, width, device=device)  # d
        # Log-ratio of the finished blocks. One beam is real at first, or all would be the same.
        self._before = torch.full((n, n_beams), -torch.inf, device=device)
        self._before[:, 0] = 0.0
        self._score = self._before
        self._best = torch.zeros(n, dtype=torch.int64, device=device)
        self._history: list[tuple[Tensor, Tensor]] = []

    def drop_finished(self, n_live: int) -> None:
        """Keep the first ``n_live`` streams, and note the best beam of those that end."""
        n = self._score.shape[0]
        if n_live < n:
            self._best[n_live:n] = self._score[n_live:].argmax(1)
            self._hash, self._offset = self._hash[:n_live], self._offset[:n_live]
            self._before, self._score = self._before[:n_live], self._score[:n_live]

    def restart(self, starting: list[int]) -> None:
        """Begin a block in the given streams: sums at zero, log-ratios carried over."""
        for n in starting:
            # Only differences matter, and near zero float32 resolves them best.
            self._before[n] = self._score[n] - self._score[n].max()
            self._offset[n] = 0.0

    def extend(self, rows: Int64[Tensor, " n"]) -> None:
        """Extend every beam by every candidate of one step, and keep the best."""
        blocks, (n, n_beams, width) = self._blocks, self._offset.shape
        pool_row = sign_pool_row(self._hash) + blocks.first_sign[:n]  # [n, B]
        score = self._score_candidates(rows, blocks.signs.index_select(0, pool_row.flatten()))
        n_candidates = score.shape[2]
        self._score, best = _top(score.flatten(1), n_beams)
        parent, index = best // n_candidates, best % n_candidates
        self._history.append((parent.int(), index.int()))

        self._hash = extend_hash(self._hash.gather(1, parent), index)
        self._before = self._before.gather(1, parent)
        stream = torch.arange(n, device=rows.device).unsqueeze(1)
        beam = (parent + stream * n_beams).flatten()
        offset = self._offset.view(-1, width).index_select(0, beam)
        chosen = (rows.unsqueeze(1) * n_candidates + index).flatten()
        signs = blocks.signs.index_select(0, pool_row.flatten().index_select(0, beam))
        offset.addcmul_(signs, blocks.candidates.view(-1, width).index_select(0, chosen))
        self._offset = offset.view(n, n_beams, width)

    def _score_candidates(self, rows: Tensor, signs: Tensor) -> Tensor:
        """Move d on to the step's c, and return the log-ratios ``[n, B, M]`` up to a constant."""
        blocks, n = self._blocks, rows.shape[0]
        curvature = blocks.curvature[rows].unsqueeze(1)  # [n, 1, A]
        slope = blocks.slope[:n].unsqueeze(1)
        self._offset.sub_(blocks.drift[rows].unsqueeze(1))
        pull = torch.addcmul(slope, curvature, self._offset)  # q d + m, [n, B, A]
        own = torch.linalg.vecdot(pull, self._offset)
        own.add_(torch.linalg.vecdot(slope, self._offset)).mul_(0.5).add_(self._before)
        pull.mul_(signs.view_as(pull))
        candidates = blocks.candidates.index_select(0, rows).transpose(1, 2)  # [n, A, M]
        score = torch.bmm(pull, candidates)
        return score.add_(own.unsqueeze(2)).add_(blocks.quadratic[rows].unsqueeze(1))

    def best_paths(self, lengths: list[int]) -> list[Tensor]:
        """Return the indices on the way to each stream's best beam."""
        self.drop_finished(0)
        beam = self._best
        path = torch.zeros(len(lengths), lengths[0], dtype=torch.int64, device=beam.device)
        for iteration in reversed(range(lengths[0])):
            parent, index = self._history[iteration]
            n = parent.shape[0]
            at = beam[:n].unsqueeze(1)
            path[:n, iteration] = index.gather(1, at).squeeze(1)
            beam[:n] = parent.gather(1, at).squeeze(1)
        return [path[n, :length] for n, length in enumerate(lengths)]


def _top(score: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest entries of each row and where they are, in any order.

    They lie in the k groups with the largest maxima, so that two selections among few entries
    replace one among many.
    """
    n, size = score.shape
    stride = size // _GROUP
    if size % _GROUP or stride <= 2 * k:
        best = score.topk(k, sorted=False)
        return best.values, best.indices
    maxima = score.view(n, _GROUP, stride).amax(1)
    groups = maxima.topk(k, sorted=False).indices.unsqueeze(1)  # [n, 1, k]
    members = groups + torch.arange(0, size, stride, device=score.device).unsqueeze(1)
    members = members.flatten(1)  # [n, 8 k]
    best = score.gather(1, members).topk(k, sorted=False)
    return best.values, members.gather(1, best.indices)
