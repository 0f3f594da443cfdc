"""irec: single-image compression with VAEs and relative entropy coding (arXiv 2010.01185)."""

__version__ = "0.1.0"
