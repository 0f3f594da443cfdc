"""Bytes: the ``.irec`` container, packed indices and range-coded pixels; knows no network.

A file is made from likelihood parameters and indices, and gives them back exactly:

    offset = safe_grid_offset(parameters)
    encoder = ResidualEncoder()
    encoder.add(pixels, quantise(parameters, offset))
    tile = TileCode([TensorCode(n_steps, rho_index, indices), ...], offset)
    stream = Bitstream(header, [tile], encoder.finish(), pixel_checksum=pixel_checksum(pixels))
    data = pack(stream, plan)

    stream = unpack(data, plan_for)
    pixels = ResidualDecoder(stream.residual).next(quantise(parameters, tile.grid_offset))
    check_pixels(stream, pixels)
"""

from irec.bitstream.calibration import Calibration
from irec.bitstream.container import (
    check_pixels,
    pack,
    pixel_checksum,
    pixel_error,
    read_metadata,
    shortest_beginning,
    unpack,
)
from irec.bitstream.grid import (
    LogisticParameters,
    QuantisedParameters,
    quantise,
    safe_grid_offset,
)
from irec.bitstream.header import FORMAT_VERSION, Colour, Header, read_header
from irec.bitstream.profile import LATTICE, LOSSLESS, LOSSY, STORED, Profile
from irec.bitstream.residual import ResidualDecoder, ResidualEncoder
from irec.bitstream.side_info import REFERENCE_PIXELS, SideInfoModel
from irec.bitstream.stored import (
    compress_alpha,
    compress_metadata,
    decompress_alpha,
    decompress_metadata,
    load_stored,
    store,
)
from irec.bitstream.stream import Bitstream, TileCode, TilePlan

__all__ = [
    "FORMAT_VERSION",
    "LATTICE",
    "LOSSLESS",
    "LOSSY",
    "REFERENCE_PIXELS",
    "STORED",
    "Bitstream",
    "Calibration",
    "Colour",
    "Header",
    "LogisticParameters",
    "Profile",
    "QuantisedParameters",
    "ResidualDecoder",
    "ResidualEncoder",
    "SideInfoModel",
    "TileCode",
    "TilePlan",
    "check_pixels",
    "compress_alpha",
    "compress_metadata",
    "decompress_alpha",
    "decompress_metadata",
    "load_stored",
    "pack",
    "pixel_checksum",
    "pixel_error",
    "quantise",
    "read_header",
    "read_metadata",
    "safe_grid_offset",
    "shortest_beginning",
    "store",
    "unpack",
]
