"""Bytes: the ``.irec`` container, packed indices and range-coded pixels; knows no network.

A file is made from likelihood parameters and indices, and gives them back exactly:

    offset = safe_grid_offset(parameters)
    encoder = ResidualEncoder()
    encoder.add(pixels, quantise(parameters, offset))
    tile = TileCode([TensorCode(n_steps, rho_index, indices), ...], offset)
    data = pack(Bitstream(header, [tile], encoder.finish()), plan)

    stream = unpack(data, plan_for)
    pixels = ResidualDecoder(stream.residual).next(quantise(parameters, tile.grid_offset))
    check_pixels(stream.header, pixels)
"""

from irec.bitstream.alpha import compress_alpha, decompress_alpha
from irec.bitstream.atomic import OutputFileError, write_atomically
from irec.bitstream.container import (
    Bitstream,
    SectionSizes,
    pack,
    section_sizes,
    shortest_beginning,
    unpack,
)
from irec.bitstream.grid import (
    LogisticParameters,
    QuantisedParameters,
    is_safe,
    quantise,
    safe_grid_offset,
)
from irec.bitstream.header import (
    DEFAULT_LOG2_CANDIDATES,
    DEFAULT_SEED,
    MAX_RATE,
    Colour,
    Header,
    check_pixels,
    pixel_checksum,
    read_header,
)
from irec.bitstream.payload import TensorCode, TileCode, TilePlan
from irec.bitstream.residual import ResidualDecoder, ResidualEncoder, decode_pixels, encode_pixels
from irec.bitstream.side_info import SideInfoModel

__all__ = [
    "DEFAULT_LOG2_CANDIDATES",
    "DEFAULT_SEED",
    "MAX_RATE",
    "Bitstream",
    "Colour",
    "Header",
    "LogisticParameters",
    "OutputFileError",
    "QuantisedParameters",
    "ResidualDecoder",
    "ResidualEncoder",
    "SectionSizes",
    "SideInfoModel",
    "TensorCode",
    "TileCode",
    "TilePlan",
    "check_pixels",
    "compress_alpha",
    "decode_pixels",
    "decompress_alpha",
    "encode_pixels",
    "is_safe",
    "pack",
    "pixel_checksum",
    "quantise",
    "read_header",
    "safe_grid_offset",
    "section_sizes",
    "shortest_beginning",
    "unpack",
    "write_atomically",
]
