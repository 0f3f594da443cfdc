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

Beyond the ideal length stand 0.035 % on a 512x512 RGB tile, nearly all of it the coder's 24-bit
arithmetic (1.3e-4 bits a decision).
"""

import functools
from collections.abc import Callable

import constriction
import numpy as np
from jaxtyping import Int32, Int64, UInt8

from irec.bitstream.grid import (
    BASE_BITS,
    COUPLING_GRID,
    LOG_SCALE_GRID,
    LOGIT_GRID,
    MEAN_GRID,
    QuantisedParameters,
)
from irec.bitstream.logistic import (
    ARGUMENT_BITS,
    INVERSE_SCALE_BITS,
    ONE,
    inverse_scale_table,
    logistic_cdf,
)
from irec.errors import CorruptFileError, InvalidParameterError, TruncatedFileError

CHUNK = 1 << 15
#: A stream has at least one byte for this many values; see ``min_residual_bytes``.
VALUES_PER_BYTE = 1 << 16

_N_LEVELS = 8
_FLOOR = ONE >> 26
_TOTAL = ONE + 256 * _FLOOR
_DECISION_BITS = 20
# A wrong but certain decision costs at most 16 bits, a right one at least 2.2e-5 bits.
_MIN_DECISION = 1 << (_DECISION_BITS - 16)
# As many binary places as products of couplings and errors have.
_LOCATION_BITS = COUPLING_GRID.unit_bits + BASE_BITS
_WEIGHT_BITS = 16
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
        """Append one tile.

        Args:
            pixels: uint8, shape [C, H, W].
            parameters: Of the same shape.

        Raises:
            InvalidParameterError: The shapes differ or the pixels are not uint8.
        """
        if pixels.shape != parameters.shape or pixels.dtype != np.uint8:
            raise InvalidParameterError(
                f"pixels {pixels.shape} {pixels.dtype}, parameters {parameters.shape}"
            )
        flat = pixels.reshape(pixels.shape[0], -1)

        def exchange(
            where: slice, channel: int, level: int, ones: Int64[np.ndarray, " n"]
        ) -> Int32[np.ndarray, " n"]:
            bits = (flat[channel, where] >> (_N_LEVELS - 1 - level) & 1).astype(np.int32)
            self._coder.encode(bits, _DECISION_MODEL, _probabilities(ones))
            return bits

        _walk(parameters, exchange)
        self._n_values += pixels.size

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

        Returns:
            Pixels, uint8, shape [C, H, W].

        Raises:
            TruncatedFileError: The stream is shorter than any encoding of so many values.
            CorruptFileError: No encoder makes such a stream.
        """
        self._n_values += parameters.mean.size
        if self._n_bytes < min_residual_bytes(self._n_values):
            raise TruncatedFileError(f"{self._n_bytes} bytes cannot hold {self._n_values} values")

        def exchange(
            where: slice, channel: int, level: int, ones: Int64[np.ndarray, " n"]
        ) -> Int32[np.ndarray, " n"]:
            try:
                bits: Int32[np.ndarray, " n"] = self._coder.decode(
                    _DECISION_MODEL, _probabilities(ones)
                )
            except AssertionError as error:  # constriction's way to report invalid data
                raise CorruptFileError(
                    "the file ends too early or is damaged: its pixel data contradict themselves"
                ) from error
            return bits

        return _walk(parameters, exchange).reshape(parameters.shape)


def encode_pixels(pixels: UInt8[np.ndarray, "c h w"], parameters: QuantisedParameters) -> bytes:
    """Encode one tile as a stream of its own; see ``ResidualEncoder``."""
    encoder = ResidualEncoder()
    encoder.add(pixels, parameters)
    return encoder.finish()


def decode_pixels(data: bytes, parameters: QuantisedParameters) -> UInt8[np.ndarray, "c h w"]:
    """Decode what ``encode_pixels`` made; see ``ResidualDecoder``."""
    return ResidualDecoder(data).next(parameters)


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
        weight = _weights(parameters.logit, where)
        error = np.zeros((n_channels, pixels[0, where].size), np.int64)  # units of 1/4 grey level
        for channel in range(n_channels):
            # [k, n], units of 2**-_LOCATION_BITS grey levels
            location = mean[:, channel, where].astype(np.int64)
            location <<= _LOCATION_BITS - MEAN_GRID.unit_bits
            if coupling is not None:
                for before in range(channel):
                    # Coefficients: green from red, blue from red, blue from green.
                    location += coupling[:, channel + before - 1, where] * error[before]
            inverse_scale = table.take(log_scale[:, channel, where] - LOG_SCALE_GRID.lowest)
            node = _Node(location, inverse_scale, weight)
            node.descend(functools.partial(exchange, where, channel))
            pixels[channel, where] = node.edge
            error[channel] = (node.edge << BASE_BITS) - base[channel, where]
            if weight is not None and channel < n_channels - 1:
                weight = node.weights_of_leaf()
    return pixels


def _weights(
    logit: Int32[np.ndarray, "k h w"] | None, where: slice
) -> Int64[np.ndarray, "k n"] | None:
    """Weights of the components, units of 2**-_WEIGHT_BITS, whose sum is exactly one."""
    if logit is None:
        return None
    table = inverse_scale_table(0, -LOGIT_GRID.lowest, LOGIT_GRID.unit_bits)
    # The largest logit is rounded too, to at most a step above zero.
    flat = logit.reshape(len(logit), -1)[:, where]
    return _normalised(table.take(np.maximum(-flat, 0)))


def _normalised(shares: Int64[np.ndarray, "k n"]) -> Int64[np.ndarray, "k n"]:
    """Shares, below 2**47 each, as weights; what rounding leaves over goes to the first."""
    total = np.maximum(shares.sum(0), 1)
    weights = (shares << _WEIGHT_BITS) // total
    weights[0] += (1 << _WEIGHT_BITS) - weights.sum(0)
    return weights


class _Node:
    """Where n values stand in the dyadic tree over 0 .. 255, and what lies below each.

    Attributes:
        edge: The node's lower edge, in bins: at its leaf the value itself.
    """

    def __init__(
        self,
        location: Int64[np.ndarray, "k n"],
        inverse_scale: Int64[np.ndarray, "k n"],
        weight: Int64[np.ndarray, "k n"] | None,
    ) -> None:
        """Start at the root."""
        n = location.shape[1]
        self._location = location
        self._inverse_scale = inverse_scale
        self._weight = weight
        self.edge = np.zeros(n, np.int64)
        # F' at the lower and the upper edge, and F of each component.
        self._low, self._high = np.zeros(n, np.int64), np.full(n, _TOTAL)
        self._lows, self._highs = np.zeros_like(location), np.full_like(location, ONE)

    def descend(
        self, exchange: Callable[[int, Int64[np.ndarray, " n"]], Int32[np.ndarray, " n"]]
    ) -> None:
        """Goes down to the leaves, asking for one decision after the other."""
        for level in range(_N_LEVELS):
            half = 1 << (_N_LEVELS - 1 - level)
            middles = _distribution_functions(self.edge + half, self._location, self._inverse_scale)
            middle = self._mixed(middles) + (self.edge + half) * _FLOOR
            ones = ((self._high - middle) << _DECISION_BITS) // (self._high - self._low)
            np.clip(ones, _MIN_DECISION, (1 << _DECISION_BITS) - _MIN_DECISION, out=ones)
            bits = exchange(level, ones)
            is_upper = bits != 0
            np.copyto(self._low, middle, where=is_upper)
            np.copyto(self._high, middle, where=~is_upper)
            if self._weight is not None:
                np.copyto(self._lows, middles, where=is_upper)
                np.copyto(self._highs, middles, where=~is_upper)
            self.edge += half * bits

    def weights_of_leaf(self) -> Int64[np.ndarray, "k n"]:
        """Return the components' weights given the values, for the pixels' next channel."""
        assert self._weight is not None
        # Below 2**49, which two places bring below 2**47.
        return _normalised(self._weight * (self._highs - self._lows + 1) >> 2)

    def _mixed(self, functions: Int64[np.ndarray, "k n"]) -> Int64[np.ndarray, " n"]:
        if self._weight is None:
            return functions[0]
        return (functions * self._weight).sum(0) >> _WEIGHT_BITS


def _distribution_functions(
    edge: Int64[np.ndarray, " n"],
    location: Int64[np.ndarray, "k n"],
    inverse_scale: Int64[np.ndarray, "k n"],
) -> Int64[np.ndarray, "k n"]:
    """F of each component between bins edge - 1 and edge, in units of 2**-32.

    No overflow: the distance is below 2**12 grey levels or 2**29 units, the inverse scale below
    e**5.04 or 2**33.3 units, and the product is in units of 2**-43.
    """
    argument = ((2 * edge - 1) << (_LOCATION_BITS - 1)) - location
    argument *= inverse_scale
    argument >>= _LOCATION_BITS + INVERSE_SCALE_BITS - ARGUMENT_BITS
    return logistic_cdf(argument)


def _probabilities(ones: Int64[np.ndarray, " n"]) -> np.ndarray:
    """Chances of a one, float64: dyadic, so exact."""
    return ones * 2.0**-_DECISION_BITS


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
