"""The published coder in place of ours, with an RVAE: to be measured, not to be used.

Flamich, Havasi, Hernández-Lobato, arXiv 2010.01185: auxiliary variables of Omega nats, chosen by
beam search, importance or rejection sampling, in blocks of 1000 dimensions. Its files are whole,
decode, and are as long as they say, but no other command reads them: what they need beside the
model is how they were made.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import UInt8
from numpy import ndarray
from torch import Tensor
from torch.distributions import Normal

from irec.bitstream import Bitstream, Header, LogisticParameters, TileCode, safe_grid_offset
from irec.bitstream.bits import BitReader, BitWriter
from irec.bitstream.header import Colour
from irec.codec.base import Encoded
from irec.codec.lossless import LosslessCodec, for_tile
from irec.codec.tiles import Tile, TileWork, pixels_of
from irec.coding.faithful import (
    FaithfulCode,
    FaithfulSettings,
    Sampler,
    decode_faithful,
    encode_faithful,
)
from irec.errors import NotAnIrecFileError
from irec.models.checkpoint import Checkpoint

_MAGIC = b"iF"


@dataclass(frozen=True)
class _ReferenceTile(TileCode):
    """One tile as the published coder has it."""

    tensors: list[FaithfulCode]  # type: ignore[assignment]


@dataclass
class _FaithfulSource:
    """A latent source that codes one image's tensors as the paper does, or decodes codes."""

    seed: int
    settings: FaithfulSettings
    codes: list[FaithfulCode] = field(default_factory=list)

    def __call__(self, prior: Normal, posterior: Normal | None, tensor: int) -> Tensor:
        if posterior is not None:
            self.codes.append(
                encode_faithful(posterior, prior, self.seed, tensor=tensor, settings=self.settings)
            )
        code = self.codes[tensor]
        return decode_faithful(code, prior, self.seed, tensor=tensor, settings=self.settings)


class ReferenceCodec(LosslessCodec):
    """Compresses with the published coder; slow, and for comparison only."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        settings: FaithfulSettings,
        *,
        seed: int = 0,
        device: str | torch.device = "cpu",
    ) -> None:
        """Set up the codec; it verifies nothing, whoever measures does.

        Args:
            checkpoint: Of an RVAE.
            settings: Of the coder; decoding needs the same.
            seed: Of the shared randomness.
            device: Where to compute.
        """
        super().__init__(checkpoint, seed=seed, verify=False, device=device)
        self.settings = settings

    def _encode_tiles(
        self, batch: list[TileWork]
    ) -> Iterator[tuple[TileWork, TileCode, LogisticParameters]]:
        for work in batch:
            source = _FaithfulSource(self.seed, self.settings)
            parameters = self._model(pixels_of([work], self.device), source)
            given = for_tile(parameters, 0, work)
            yield work, _ReferenceTile(source.codes, safe_grid_offset(given)), given

    def _decode_tiles(
        self, batch: list[TileWork], codes: Sequence[TileCode], seed: int
    ) -> list[LogisticParameters]:
        decoded = []
        for work, code in zip(batch, codes, strict=True):
            source = _FaithfulSource(seed, self.settings, code.tensors)  # type: ignore[arg-type]
            parameters = self._model.generate(source, None, 1, *work.tile.padded_size)
            decoded.append(for_tile(parameters, 0, work))
        return decoded

    def _finish(self, stream: Bitstream, pixels: UInt8[ndarray, "h w c"]) -> Encoded:
        """Pack a file: header and steps of each block, indices, residual."""
        writer, index_bits = BitWriter(), 0
        writer.write_bytes(_MAGIC)
        header = stream.header
        for value in (header.height, header.width, int(header.colour), stream.pixel_checksum):
            writer.write_varint(value)
        for tile in stream.tiles:
            writer.write_varint(tile.grid_offset)
            codes: list[FaithfulCode] = tile.tensors  # type: ignore[assignment]
            blocks = [indices for code in codes for indices in code.indices_of_block]
            for indices in blocks:
                writer.write_varint(indices.numel())
            start = writer.n_bits
            self._write_indices(writer, torch.cat(blocks).tolist())
            index_bits += writer.n_bits - start
            writer.align()
        alpha = stream.alpha or b""
        writer.write_varint(len(alpha))
        data = writer.to_bytes() + alpha + stream.residual
        sizes = {"indices": index_bits, "residual": 8 * len(stream.residual)}
        return Encoded(data, sizes, pixels)

    def unpack(self, data: bytes, allow_truncated: bool = False) -> Bitstream:
        """Read what :meth:`_finish` wrote.

        Raises:
            BitstreamError: It is something else.
        """
        reader = BitReader(data)
        if reader.read_bytes(len(_MAGIC)) != _MAGIC:
            raise NotAnIrecFileError("not a file of the reference coder")
        height, width, colour, checksum = (reader.read_varint() for _ in range(4))
        tiles = [self._read_tile(reader, tile) for tile in self._tiles(height, width)]
        alpha = reader.read_bytes(reader.read_varint()) or None
        residual = reader.read_bytes(reader.bits_left // 8)
        fingerprint = self.checkpoint.fingerprint
        header = Header(self.profile, fingerprint, height, width, Colour(colour), self.seed)
        return Bitstream(header, tiles, residual, alpha, checksum)

    def _read_tile(self, reader: BitReader, tile: Tile) -> TileCode:
        offset = reader.read_varint()
        n_dims = math.prod(self._model.latent_shape(*tile.padded_size))
        n_blocks = -(-n_dims // self.settings.block_size)
        n_tensors = self._model.n_latent_tensors
        steps = [[reader.read_varint() for _ in range(n_blocks)] for _ in range(n_tensors)]
        indices = torch.tensor(self._read_indices(reader, sum(map(sum, steps))), dtype=torch.int64)
        reader.align()
        flat = iter(indices.split([n for of_tensor in steps for n in of_tensor]))
        codes = [FaithfulCode(tuple(next(flat) for _ in of_tensor)) for of_tensor in steps]
        return _ReferenceTile(codes, offset)

    def _write_indices(self, writer: BitWriter, indices: Sequence[int]) -> None:
        """As one number to the base of the candidates, or, without such, in Elias's gamma code."""
        if self.settings.sampler is Sampler.REJECTION:
            for index in indices:
                writer.write_gamma(index + 1)
            return
        number = 0
        for index in reversed(indices):
            number = number * self.settings.n_candidates + index
        bits = self._index_bits(len(indices))
        for place in range(0, bits, 32):
            writer.write(number >> place & 0xFFFFFFFF, min(32, bits - place))

    def _read_indices(self, reader: BitReader, n: int) -> list[int]:
        if self.settings.sampler is Sampler.REJECTION:
            return [reader.read_gamma() - 1 for _ in range(n)]
        bits, number, indices = self._index_bits(n), 0, []
        for place in range(0, bits, 32):
            number |= reader.read(min(32, bits - place)) << place
        for _ in range(n):
            number, index = divmod(number, self.settings.n_candidates)
            indices.append(index)
        return indices

    def _index_bits(self, n: int) -> int:
        """Bits of the largest number that `n` indices make."""
        return (self.settings.n_candidates**n - 1).bit_length()
