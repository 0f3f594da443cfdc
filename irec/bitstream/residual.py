"""Pixels to bytes and back, exactly, by range coding under quantised logistic likelihoods.

Each 8-bit value is eight binary decisions down the dyadic tree over 0..255, most significant bit
first. A decision needs the distribution function at one more bin edge only, so that no table of 256
probabilities per value is ever built. The distribution function has open end bins, and a little of
a uniform distribution is mixed in: F'(e) = F(e) + e * 2**-26 keeps every bin above zero.

Order: stretches of ``CHUNK`` positions (bounded memory, and the arrays stay in cache); within a
stretch channel by channel, because green depends on red and blue on both; within a channel level by
level. All probabilities are multiples of 2**-20, so the range coder receives them without rounding.

The stream is one binary fraction, most significant byte first. It is cut to the shortest string of
bytes inside the coder's final interval, and the decoder appends zeros again.

A stream is longer than the ideal by less than 0.1 % and 8 bytes, as the tests hold: the coder knows
chances in 24 bits.
"""

import functools
from collections.abc import Callable

import constriction
import numpy as np
from jaxtyping import Int32, Int64, UInt8

from irec.bitstream.decisions import DECISION_BITS, LOCATION_BITS, N_LEVELS, Node, weights_of
from irec.bitstream.grid import BASE_BITS, LOG_SCALE_GRID, MEAN_GRID, QuantisedParameters
from irec.bitstream.logistic import inverse_scale_table
from irec.errors import CorruptFileError, InvalidParameterError

CHUNK = 1 << 15
#: A stream has at least one byte for this many values; see ``min_residual_bytes``.
VALUES_PER_BYTE = 1 << 16

_WORD_BITS = 32
_STATE_BITS = 64
_DECISION_MODEL = constriction.stream.model.Bernoulli(perfect=False)

#: Takes (slice of positions, channel, level, chances of a one in 2**-20); gives the bits as int32.
_Exchange = Callable[[slice, int, int, Int64[np.ndarray, " n"]], Int32[np.ndarray, " n"]]


class ResidualEncoder:
    """Range-codes the pixels of one tile after the other into one stream."""

    def __init__(self) -> None:
        """Start an empty stream."""
        self._coder = constriction.stream.queue.RangeEncoder()
        self._n_values = 0

    def add(self, pixels: UInt8[np.ndarray, "c h w"], parameters: QuantisedParameters) -> None:
        """Append one tile; InvalidParameterError where shapes differ or pixels are not uint8."""
        if pixels.shape != parameters.shape or pixels.dtype != np.uint8:
            raise InvalidParameterError(
                f"pixels {pixels.shape} {pixels.dtype}, parameters {parameters.shape}"
            )
        flat = pixels.reshape(pixels.shape[0], -1)

        def exchange(
            where: slice, channel: int, level: int, ones: Int64[np.ndarray, " n"]
        ) -> Int32[np.ndarray, " n"]:
            bits = (flat[channel, where] >> (N_LEVELS - 1 - level) & 1).astype(np.int32)
            self._coder.encode(bits, _DECISION_MODEL, _probabilities(ones))
            return bits

        _walk(parameters, exchange)
        self._n_values += pixels.size

    def add_bit(self, bit: bool, chance: int) -> None:
        """Append a decision of another kind; `chance` is that of a one, in units of 2**-20."""
        self._coder.encode(
            np.array([bit], np.int32), _DECISION_MODEL, _probabilities(np.array([chance]))
        )

    def finish(self) -> bytes:
        """Return the stream of everything added so far."""
        data = _shortest_in_interval(self._coder)
        return data.ljust(min_residual_bytes(self._n_values), b"\0")


class ResidualDecoder:
    """Recovers tiles in the order in which a ``ResidualEncoder`` took them."""

    def __init__(self, data: bytes) -> None:
        """Start at the beginning of a stream that ``ResidualEncoder.finish`` returned."""
        self._n_bytes = len(data)
        self._n_values = 0
        # The coder holds two words; the zeros that the encoder cut off are given back to it.
        words = data.ljust(4 * (-(-len(data) // 4) + 2), b"\0")
        self._coder = constriction.stream.queue.RangeDecoder(
            np.frombuffer(words, dtype=">u4").astype(np.uint32)
        )

    def next(self, parameters: QuantisedParameters) -> UInt8[np.ndarray, "c h w"]:
        """Decode the next tile.

        Damaged data decodes to other pixels, which only the checksum of the image can tell, or to
        an error.

        Args:
            parameters: Of the tile, equal to the encoder's in every integer.

        Raises:
            CorruptFileError: No encoder makes such a stream; or it is shorter than any encoding of
                so many values.
        """
        self._n_values += parameters.mean.size
        if self._n_bytes < min_residual_bytes(self._n_values):
            raise CorruptFileError(f"{self._n_bytes} bytes cannot hold {self._n_values} values")

        pixels = _walk(parameters, lambda _where, _channel, _level, ones: self._decisions(ones))
        return pixels.reshape(parameters.shape)

    def next_bit(self, chance: int) -> bool:
        """Decode what :meth:`ResidualEncoder.add_bit` appended; errors as of :meth:`next`."""
        return bool(self._decisions(np.array([chance]))[0])

    def _decisions(self, ones: Int64[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
        try:
            bits: Int32[np.ndarray, " n"] = self._coder.decode(
                _DECISION_MODEL, _probabilities(ones)
            )
        except AssertionError as error:  # constriction's way to report invalid data
            raise CorruptFileError("the pixel data contradict themselves") from error
        return bits


def min_residual_bytes(n_values: int) -> int:
    """Return the least length of a stream of ``n_values`` values.

    65,536 values take at least 11.5 bits of information, so demanding one byte for them costs
    nothing, and a short hostile file cannot claim an image of gigabytes.
    """
    return n_values // VALUES_PER_BYTE


def _walk(parameters: QuantisedParameters, exchange: _Exchange) -> UInt8[np.ndarray, "c n"]:
    """Visits every decision in coding order; encoder and decoder differ in ``exchange`` only."""
    n_components, n_channels, height, width = parameters.mean.shape
    mean = parameters.mean.reshape(n_components, n_channels, -1)
    log_scale = parameters.log_scale.reshape(n_components, n_channels, -1)
    coupling = parameters.coupling
    coupling = None if coupling is None else coupling.reshape(n_components, 3, -1)
    base = parameters.base.reshape(n_channels, -1)
    table = inverse_scale_table(
        LOG_SCALE_GRID.lowest, LOG_SCALE_GRID.highest, LOG_SCALE_GRID.unit_bits
    )
    pixels = np.empty((n_channels, height * width), dtype=np.uint8)
    for start in range(0, height * width, CHUNK):
        where = slice(start, start + CHUNK)
        weight = weights_of(parameters.logit, where)
        error = np.zeros((n_channels, pixels[0, where].size), np.int64)  # units of 1/4 grey level
        for channel in range(n_channels):
            # [k, n], units of 2**-LOCATION_BITS grey levels
            location = mean[:, channel, where].astype(np.int64)
            location <<= LOCATION_BITS - MEAN_GRID.unit_bits
            if coupling is not None:
                for before in range(channel):
                    # Coefficients: green from red, blue from red, blue from green.
                    location += coupling[:, channel + before - 1, where] * error[before]
            inverse_scale = table.take(log_scale[:, channel, where] - LOG_SCALE_GRID.lowest)
            node = Node(location, inverse_scale, weight)
            node.descend(functools.partial(exchange, where, channel))
            pixels[channel, where] = node.edge
            error[channel] = (node.edge << BASE_BITS) - base[channel, where]
            if weight is not None and channel < n_channels - 1:
                weight = node.weights_of_leaf()
    return pixels


def _probabilities(ones: Int64[np.ndarray, " n"]) -> np.ndarray:
    """Chances of a one, float64: dyadic, so exact."""
    return ones * 2.0**-DECISION_BITS


def _shortest_in_interval(coder: constriction.stream.queue.RangeEncoder) -> bytes:
    """Return the shortest bytes that, followed by zeros, lie in the coder's final interval.

    constriction ends a stream with whole words, 32 bits of which about 20 tell nothing.
    """
    _, (lower, width) = coder.pos()
    words = coder.get_compressed()
    if words.size == 0:
        return b""
    # The last word is the lower end, rounded up to whole words; where that word does not lie
    # clear of the upper end a word of zeros follows.
    word_mask = (1 << _WORD_BITS) - 1
    point_word = ((lower + word_mask) >> _WORD_BITS) & word_mask
    if ((lower + width) >> _WORD_BITS) & word_mask == point_word:
        words = words[:-1]
    point = int.from_bytes(words.astype(">u4").tobytes(), "big") << _WORD_BITS
    lowest = point - ((point - lower) & word_mask)
    n_bytes = 4 * words.size + 4
    for n_cut in range(_STATE_BITS // 8, -1, -1):
        rounded_up = -(-lowest >> 8 * n_cut)
        if rounded_up << 8 * n_cut < lowest + width:
            return rounded_up.to_bytes(n_bytes - n_cut, "big").rstrip(b"\0")
    raise AssertionError("unreachable: the lower end itself lies in the interval")
