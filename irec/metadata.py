"""What image files hold beside pixels: colour profile, EXIF and XMP; a leaf, as ``irec.errors``."""

from dataclasses import dataclass
from typing import Any

from PIL import Image, PngImagePlugin, TiffImagePlugin

_ORIENTATION = 0x0112
# Exif 2.32: what of a TIFF's tags says something of the picture, not of how its bytes lie.
_DESCRIPTIVE = (270, 271, 272, 282, 283, 296, 305, 306, 315, 316, 33432)
_XMP = 700
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825


@dataclass(frozen=True)
class Metadata:
    """What of it there is, as bytes of the respective standard.

    Attributes:
        icc: Colour profile (ICC.1), which says what the pixels' numbers look like.
        exif: When, where and with which camera (without the ``Exif`` marker of JPEG).
        xmp: An XML packet.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None

    def __bool__(self) -> bool:
        """Whether there is any."""
        return any(self.parts().values())

    def parts(self) -> dict[str, bytes]:
        """Return what is there, by name."""
        return {name: value for name, value in vars(self).items() if value}


def metadata_of(image: Image.Image, source: Image.Image | None = None) -> Metadata:
    """Return the metadata of an upright, loaded image; of its EXIF the orientation is left out.

    Args:
        image: the image.
        source: as it was opened, if `image` is a copy, which forgets a TIFF's tags.
    """
    info = image.info
    return Metadata(
        _as_bytes(info.get("icc_profile")),
        _exif_of(source or image),
        _as_bytes(info.get("xmp") or info.get("XML:com.adobe.xmp")),
    )


def pillow_options(metadata: Metadata, file_format: str) -> dict[str, Any]:
    """Return arguments of Pillow's ``Image.save`` that write metadata, as far as a format can.

    Args:
        metadata: To write.
        file_format: Pillow's name of it.
    """
    if file_format not in ("PNG", "WEBP", "TIFF", "JPEG"):
        return {}
    options: dict[str, Any] = {}
    if metadata.icc:
        options["icc_profile"] = metadata.icc
    if metadata.exif:
        # JPEG's segment begins with a marker; the others know it by its place.
        options["exif"] = (b"Exif\0\0" if file_format == "JPEG" else b"") + metadata.exif
    if metadata.xmp and file_format in ("WEBP", "JPEG"):
        options["xmp"] = metadata.xmp
    elif metadata.xmp and file_format == "TIFF":
        # There it is a tag beside those of EXIF.
        options["exif"] = Image.Exif()
        options["exif"].load(metadata.exif)
        options["exif"][_XMP] = metadata.xmp
    elif metadata.xmp:
        options["pnginfo"] = PngImagePlugin.PngInfo()
        text = metadata.xmp.decode("utf-8", errors="replace")
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", text)
    return options


def _exif_of(image: Image.Image) -> bytes | None:
    try:
        found, exif = image.getexif(), Image.Exif()
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            exif.update({tag: found[tag] for tag in _DESCRIPTIVE if tag in found})
            for ifd in (_EXIF_IFD, _GPS_IFD):
                if held := found.get_ifd(ifd):
                    exif.get_ifd(ifd).update(held)
            is_empty = not (exif or exif.get_ifd(_EXIF_IFD) or exif.get_ifd(_GPS_IFD))
        else:
            exif.load(found.tobytes())
            exif.pop(_ORIENTATION, None)
            is_empty = not exif
        return None if is_empty else exif.tobytes().removeprefix(b"Exif\0\0")
    except Exception:  # damaged EXIF data say nothing
        return None


def _as_bytes(value: object) -> bytes | None:
    if isinstance(value, str):
        return value.encode()
    return value if isinstance(value, bytes) and value else None
