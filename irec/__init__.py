"""irec: single-image compression with VAEs and relative entropy coding (arXiv 2010.01185).

``irec.compress(image)`` gives the bytes of an ``.irec`` file, ``irec.decompress(data)`` the image.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irec.codec import compress, decompress

__version__ = "0.1.0"
__all__ = ["__version__", "compress", "decompress"]


def __getattr__(name: str) -> Any:
    """Import the codec when it is first asked for: torch takes seconds."""
    if name in ("compress", "decompress"):
        from irec import codec

        return getattr(codec, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
