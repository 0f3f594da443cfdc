"""What the search keeps of its beams' partial sums.

A beam is a hypothesis about all blocks of its stream, but an iteration extends one block. In block
order that is one block until it is finished. In step order the search comes back to all blocks: the
state of a block stays as it was when the block was last extended, and each beam knows which of the
beams of then it descends from. By then only few of those have descendants (of 256 beams and 64
blocks, 1.4 on average), so sums are brought up to date then.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64, Int64, Shaped
from torch import Tensor

from irec.coding.blocks import Step, StepSequence


@dataclass(frozen=True)
class Ancestors:
    """What is known of the current block: the beams of then, and who descends from whom.

    Attributes:
        offset: D = S - c m of each of the beams of then that has descendants, ``[n, U, A]``, with
            the c of the step to come.
        of_beam: Number of each beam's ancestor among these.
        log_ratio: What the block contributes to each beam's log-ratio so far.
    """

    offset: Float32[Tensor, "n U A"]
    of_beam: Int64[Tensor, "n B"]
    log_ratio: Float64[Tensor, "n B"]

    def per_beam(self, values: Shaped[Tensor, "n U *rest"]) -> Shaped[Tensor, "n B *rest"]:
        """Hand on to each beam what belongs to its ancestor."""
        return _rows(values, self.of_beam)


class Hypotheses:
    """Of the blocks of N streams, what brings the sums of their beams of then up to date."""

    def __init__(self, steps: StepSequence, n_streams: int, n_beams: int) -> None:
        """Begin with beams that have extended no block yet.

        Args:
            steps: The streams' steps.
            n_streams: Streams N.
            n_beams: Beams B.
        """
        self._codebook, device = steps.codebook, steps.device
        shape = (n_streams, steps.n_slots, n_beams)
        # Rows are written before they are read, and most never are: memory untouched is not taken.
        self._offset = torch.empty(*shape, steps.width, device=device)
        # Row of `_offset` that a beam of then extended, with which row of signs, which candidate.
        self._extended = torch.zeros(*shape, 3, dtype=torch.int64, device=device)
        self._log_ratio = torch.zeros(shape, dtype=torch.float64, device=device)
        # A beam's ancestors lie together, as beams are copied as a whole: [N, B, slots].
        shape = (n_streams, n_beams, steps.n_slots)
        self._ancestor = torch.zeros(shape, dtype=torch.int32, device=device)

    def ancestors(self, step: Step) -> Ancestors:
        """Return what is known of the blocks whose turn it is."""
        n, n_beams = step.slot.numel(), self._ancestor.shape[1]
        at = step.slot.unsqueeze(2).expand(n, n_beams, 1)
        ancestor = self._ancestor[:n].gather(2, at).squeeze(2).long()
        ancestor.masked_fill_(step.is_first, 0)
        log_ratio = self._log_ratio.flatten(0, 1).index_select(0, step.slot_of_all)
        log_ratio = log_ratio.gather(1, ancestor).masked_fill_(step.is_first, 0.0)
        distinct, of_beam = _distinct(ancestor)
        return Ancestors(self._move_on(step, distinct), of_beam, log_ratio)

    def extend(
        self,
        step: Step,
        made_from: Int64[Tensor, "n B 2"],
        parent: Int64[Tensor, "n B"],
        index: Int64[Tensor, "n B"],
        log_ratio: Float64[Tensor, "n B"],
    ) -> None:
        """Replace the beams by extensions of those that were.

        Args:
            step: The step that they take.
            made_from: Of each *parent*, the number of its ancestor, and the row of the sign pool
                that it flips candidates with.
            parent: The beam that each new one extends.
            index: By which candidate.
            log_ratio: What the block contributes to the new beams' log-ratios.
        """
        ancestor = _rows(self._ancestor[: parent.shape[0]], parent)
        own = torch.arange(parent.shape[1], dtype=torch.int32, device=parent.device).view(1, -1, 1)
        at = step.slot.unsqueeze(2).expand(*parent.shape, 1)
        self._ancestor = ancestor.scatter_(2, at, own.expand_as(at))
        extended = torch.cat((_rows(made_from, parent), index.unsqueeze(2)), 2)
        self._extended.flatten(0, 1).index_copy_(0, step.slot_of_all, extended)
        self._log_ratio.flatten(0, 1).index_copy_(0, step.slot_of_all, log_ratio)

    def _move_on(self, step: Step, beams: Tensor) -> Tensor:
        """Return d of some of the beams of then, and keep only these."""
        n, n_kept = beams.shape
        n_beams, width = self._offset.shape[2:]
        first = step.slot_of_all.unsqueeze(1) * n_beams
        extended = self._extended.view(-1, 3).index_select(0, (first + beams).flatten())
        row, pool_row, candidate = extended.view(n, n_kept, 3).unbind(2)
        offsets = self._offset.view(-1, width)
        offset = offsets.index_select(0, (first + row).flatten()).view(n, n_kept, width)
        variable = self._codebook.rows(step.last_row + candidate // 2, step.places)
        variable *= (step.last_deviation * _sign(candidate)).unsqueeze(2)
        offset.addcmul_(self._codebook.signs(pool_row, step.places), variable)
        offset.masked_fill_(step.is_first.unsqueeze(2), 0.0).sub_(step.drift.unsqueeze(1))
        kept = first + torch.arange(n_kept, device=first.device)
        offsets.index_copy_(0, kept.flatten(), offset.view(-1, width))
        return offset


def _sign(index: Int64[Tensor, "n B"]) -> Int64[Tensor, "n B"]:
    """Return 1 where a candidate is a row of the codebook, -1 where it is less the row."""
    return 1 - 2 * (index & 1)


def _distinct(
    values: Int64[Tensor, "n B"],
) -> tuple[Int64[Tensor, "n U"], Int64[Tensor, "n B"]]:
    """Return the distinct values of each row, in [0, B) and padded, and where each value is."""
    occurs = torch.zeros_like(values).scatter_(1, values, 1)
    place = occurs.cumsum_(1).sub_(1).gather(1, values)
    distinct = values.new_zeros(values.shape[0], int(place.max()) + 1)
    return distinct.scatter_(1, place, values), place


def _rows(
    values: Shaped[Tensor, "n r *rest"], rows: Int64[Tensor, "n B"]
) -> Shaped[Tensor, "n B *rest"]:
    """Return chosen rows of each stream."""
    n, n_rows = values.shape[:2]
    first = torch.arange(n, device=rows.device).unsqueeze(1) * n_rows
    chosen = values.flatten(0, 1).index_select(0, (first + rows).flatten())
    return chosen.view(*rows.shape, *values.shape[2:])
