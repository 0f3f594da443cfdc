"""``import irec.pillow``, and Pillow reads and writes ``.irec`` files.

import irec.pillow
from PIL import Image

image = Image.open("photo.irec")                       # size and mode only, until it is used
image.save("copy.irec")                                # without loss
image.save("small.irec", quality=60, effort=3)         # with loss
"""

import io
from typing import Any

from PIL import Image, ImageFile

from irec.errors import IrecError
from irec.metadata import Metadata, metadata_of

FORMAT = "IREC"
_MAGIC = b"iR"
# What the header tells of the channels, in Pillow's words.
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_TARGETS = {"target_bpp", "target_psnr"}
_OPTIONS = ("target_bpp", "target_psnr", "effort", "checkpoint", "verify", "device", "model_only")


class IrecImageFile(ImageFile.ImageFile):
    """An ``.irec`` file; its pixels are decoded when they are first asked for."""

    format = FORMAT
    format_description = "irec, coded by relative entropy"

    def _open(self) -> None:
        from irec.bitstream import read_header
        from irec.codec import read_metadata

        assert self.fp is not None, "Pillow opens the file"
        self._data: bytes | None = self.fp.read()
        try:
            header = read_header(self._data)
            metadata = read_metadata(self._data)
        except IrecError as error:
            # What Pillow takes for: another format.
            raise SyntaxError(str(error)) from error
        self._size = (header.width, header.height)
        self._mode = _MODES[header.n_channels]
        self.info.update(_as_info(metadata))
        self.tile = []

    def load(self) -> Any:
        """Decode the pixels.

        Raises:
            OSError: The file is damaged, or its model is not installed.
        """
        if self._data is not None:
            from irec.codec import decompress

            # What files of that size may cost is Pillow's own limit.
            Image._decompression_bomb_check(self.size)
            try:
                pixels = decompress(self._data)
            except IrecError as error:
                raise OSError(str(error)) from error
            self._data = None
            if self.fp is not None and self._exclusive_fp:
                self.fp.close()
            self.fp = io.BytesIO(pixels.tobytes())
            self.tile = [ImageFile._Tile("raw", (0, 0, *self.size), 0, self.mode)]
        return super().load()

    def load_seek(self, pos: int) -> None:
        """Stay where the pixels are: that this is here keeps Pillow from mapping the file."""


def _as_info(metadata: Metadata) -> dict[str, bytes]:
    """Metadata under the names that Pillow's other formats use."""
    info = {"icc_profile": metadata.icc, "xmp": metadata.xmp}
    if metadata.exif:
        info["exif"] = b"Exif\0\0" + metadata.exif
    return {name: value for name, value in info.items() if value}


def _save(image: Image.Image, file: Any, filename: str | bytes) -> None:
    """Write an image; keywords of ``Image.save`` are those of :func:`irec.compress`.

    ``lossless`` (true where neither ``quality`` nor a target is given), ``quality``,
    ``target_bpp``, ``target_psnr``, ``effort``, ``checkpoint``, ``verify``, ``device``,
    ``model_only``; of the metadata that the image holds ``icc_profile``, ``exif`` and ``xmp`` can
    be replaced.
    """
    from irec.codec import compress

    given = image.encoderinfo
    options = {name: given[name] for name in _OPTIONS if name in given}
    quality = given.get("quality")
    lossless = given.get("lossless", quality is None and not given.keys() & _TARGETS)
    held = metadata_of(image)
    metadata = Metadata(
        given.get("icc_profile", held.icc),
        _exif_bytes(given["exif"]) if "exif" in given else held.exif,
        given.get("xmp", held.xmp),
    )
    if not lossless:
        options |= {"lossy": True, "quality": quality}
    file.write(compress(image, metadata=metadata, **options))


def _exif_bytes(exif: Image.Exif | bytes | None) -> bytes | None:
    data = exif.tobytes() if isinstance(exif, Image.Exif) else exif
    return data.removeprefix(b"Exif\0\0") if data else None


Image.register_open(FORMAT, IrecImageFile, lambda prefix: prefix.startswith(_MAGIC))
Image.register_save(FORMAT, _save)
Image.register_extension(FORMAT, ".irec")
Image.register_mime(FORMAT, "image/x-irec")
