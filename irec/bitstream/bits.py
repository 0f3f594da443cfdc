"""Bits in, bits out: fixed-width fields, packed arrays, Rice codes; most significant bit first."""

import numpy as np
from jaxtyping import Integer, UInt8

from irec.errors import CorruptFileError, InvalidParameterError, TruncatedFileError

#: Unary prefixes end here: a longer one would let a damaged field run through the whole file.
RICE_ESCAPE = 12
MAX_FIELD_BITS = 62
MAX_RICE_PARAMETER = 40


class BitWriter:
    """Collects bits and packs them into bytes.

    Attributes:
        n_bits: Written so far.
    """

    def __init__(self) -> None:
        """Start without bits."""
        self.n_bits = 0
        self._whole: list[bytes] = []
        self._pieces: list[UInt8[np.ndarray, " n"]] = []

    def write(self, value: int, width: int) -> None:
        """Write one unsigned number; arguments and errors as for :meth:`write_array`."""
        self.write_array(np.array([value], dtype=np.int64), width)

    def write_array(self, values: Integer[np.ndarray, " n"], width: int) -> None:
        """Write numbers of one width, back to back: ``n * width`` bits.

        Args:
            values: Shape [n], each 0 <= value < 2**width.
            width: Bits per value, 0 to 62.

        Raises:
            InvalidParameterError: The width is out of range or a value does not fit.
        """
        _check("a field of width", width, MAX_FIELD_BITS)
        if values.size and (values.min() < 0 or int(values.max()) >> width):
            raise InvalidParameterError(
                f"values from {values.min()} to {values.max()} do not fit {width} bits"
            )
        # One column at a time: a broadcast [n, width] shift would need 64 bits per bit.
        columns = np.empty((values.size, width), dtype=np.uint8)
        for column in range(width):
            columns[:, column] = (values >> (width - 1 - column)) & 1
        self._pieces.append(columns.reshape(-1))
        self.n_bits += columns.size

    def write_rice(self, value: int, parameter: int) -> None:
        """Write a Rice code: the quotient by 2**parameter in unary, then the remainder.

        From a quotient of ``RICE_ESCAPE`` on the excess follows as an Elias gamma code instead, so
        that the length grows with the logarithm of the value.

        Args:
            value: 0 <= value < 2**61.
            parameter: 0 to 40; best near log2 of the usual value.

        Raises:
            InvalidParameterError: The value is negative or too large.
        """
        _check("Rice parameter", parameter, MAX_RICE_PARAMETER)
        if not 0 <= value < 1 << (MAX_FIELD_BITS - 1):
            raise InvalidParameterError(f"{value} is out of the range of a Rice code")
        quotient = value >> parameter
        if quotient < RICE_ESCAPE:
            self.write((1 << (quotient + 1)) - 2, quotient + 1)
            self.write(value & ((1 << parameter) - 1), parameter)
            return
        self.write((1 << RICE_ESCAPE) - 1, RICE_ESCAPE)
        self.write_gamma(value - (RICE_ESCAPE << parameter) + 1)

    def write_gamma(self, value: int) -> None:
        """Write Elias's gamma code of a number from 1 on: its length in zeros, then the number."""
        self.write(0, value.bit_length() - 1)
        self.write(value, value.bit_length())

    def write_varint(self, value: int) -> None:
        """Write an unsigned number in whole bytes: seven bits each, least significant first.

        The high bit of a byte is set while more follow; there is no needless last byte.
        """
        parts = []
        while value >= 0x80:
            parts.append(value & 0x7F | 0x80)
            value >>= 7
        self.write_bytes(bytes([*parts, value]))

    def write_bytes(self, data: bytes) -> None:
        """Write whole bytes; raises InvalidParameterError where they would not begin at one."""
        if self.n_bits % 8:
            raise InvalidParameterError(f"bytes cannot follow {self.n_bits} bits")
        # Bits packed now stay small: one that waits takes a byte.
        self._whole += self._packed(), data
        self._pieces = []
        self.n_bits += 8 * len(data)

    def align(self) -> None:
        """Write zero bits up to a whole byte."""
        self.write(0, -self.n_bits % 8)

    def to_bytes(self) -> bytes:
        """Everything written, padded with zero bits to whole bytes."""
        return b"".join([*self._whole, self._packed()])

    def _packed(self) -> bytes:
        """Return the bits that are not in whole bytes yet."""
        return np.packbits(np.concatenate(self._pieces)).tobytes() if self._pieces else b""


class BitReader:
    """Reads what a ``BitWriter`` wrote; checks every length against what is left before it acts.

    Attributes:
        position: Bits read so far.
    """

    def __init__(self, data: bytes) -> None:
        """Start at the first bit of ``data``."""
        self.position = 0
        self._data = data

    @property
    def bits_left(self) -> int:
        """Bits not yet read."""
        return 8 * len(self._data) - self.position

    def read(self, width: int) -> int:
        """Read one unsigned number; width and errors as for :meth:`read_array`."""
        return int(self.read_array(1, width)[0])

    def read_array(self, count: int, width: int) -> Integer[np.ndarray, " n"]:
        """Read ``count`` numbers of one width, as int64 of shape [count].

        Args:
            count: How many; a width of 0 gives zeros and takes no bits.
            width: Bits per value, 0 to 62.

        Raises:
            TruncatedFileError: Fewer bits are left; nothing has been allocated then.
        """
        _check("a field of width", width, MAX_FIELD_BITS)
        bits = self._take(count * width).reshape(count, width)
        values = np.zeros(count, dtype=np.int64)
        for column in range(width):
            values <<= 1
            values |= bits[:, column]
        return values

    def read_rice(self, parameter: int) -> int:
        """Read a Rice code of the parameter that it was written with.

        Raises:
            TruncatedFileError: The bits end inside the code.
            CorruptFileError: The escaped value is longer than a writer makes it.
        """
        _check("Rice parameter", parameter, MAX_RICE_PARAMETER)
        quotient = self._count_run(1, RICE_ESCAPE)
        if quotient < RICE_ESCAPE:
            return (quotient << parameter) | self.read(parameter)
        return (RICE_ESCAPE << parameter) + self.read_gamma() - 1

    def read_gamma(self) -> int:
        """Read a gamma code; errors as for :meth:`read_rice`."""
        length = self._count_run(0, MAX_FIELD_BITS)
        if length >= MAX_FIELD_BITS:
            raise CorruptFileError("a number in the file is longer than any that irec writes")
        return 1 << length | self.read(length)

    def read_varint(self) -> int:
        """Read a varint of up to 64 bits, which begins at a whole byte.

        Raises:
            TruncatedFileError: The bytes end inside it.
            CorruptFileError: It is longer than 64 bits or than it needs to be.
        """
        value = 0
        for shift in range(0, 70, 7):
            (field,) = self.read_bytes(1)
            value |= (field & 0x7F) << shift
            if field < 0x80:
                if (field == 0 and shift) or value >> 64:
                    break
                return value
        raise CorruptFileError("the file holds a malformed number")

    def read_bytes(self, count: int) -> bytes:
        """Read whole bytes, which begin at one; raises TruncatedFileError where fewer are left."""
        assert self.position % 8 == 0
        self._check_left(8 * count)
        start = self.position // 8
        self.position += 8 * count
        return self._data[start : start + count]

    def bytes_read(self) -> bytes:
        """Everything read so far, in whole bytes."""
        assert self.position % 8 == 0
        return self._data[: self.position // 8]

    def align(self) -> None:
        """Skip to the next whole byte; raises CorruptFileError where a skipped bit is not zero."""
        if self.read(-self.position % 8):
            raise CorruptFileError("the padding bits are not zero")

    def _count_run(self, bit: int, limit: int) -> int:
        """Count equal bits up to ``limit``; the bit that ends a shorter run is read too."""
        for length in range(limit):
            if self.read(1) != bit:
                return length
        return limit

    def _take(self, n_bits: int) -> UInt8[np.ndarray, " n"]:
        self._check_left(n_bits)
        first_byte, skipped = divmod(self.position, 8)
        self.position += n_bits
        whole = np.frombuffer(self._data[first_byte : -(-self.position // 8)], np.uint8)
        return np.unpackbits(whole)[skipped : skipped + n_bits]

    def _check_left(self, n_bits: int) -> None:
        if n_bits > self.bits_left:
            raise TruncatedFileError(
                f"the file ends early: {n_bits} bits are needed, {self.bits_left} are left"
            )


def _check(what: str, value: int, most: int) -> None:
    if not 0 <= value <= most:
        raise InvalidParameterError(f"{what} {value}; 0 to {most} are possible")
