"""The errors that irec raises on purpose; every layer may import this leaf, it imports nothing.

Each carries one sentence that says what was wrong, with which file or value, and what to do, so
that a command prints it as it stands. Anything else that escapes is a defect of irec.
"""


class IrecError(Exception):
    """Base of every error that irec raises on purpose."""


class InvalidParameterError(IrecError, ValueError):
    """A value given to the library is out of its domain (NaN, a wrong shape, an unknown name)."""


class UnsupportedImageError(IrecError, ValueError):
    """The image is of a kind that irec does not code (16 bits per channel, CMYK, empty)."""


class BitstreamError(IrecError):
    """A file's bytes cannot be decoded; the subclasses say why."""


class NotAnIrecFileError(BitstreamError):
    """The bytes do not begin as an ``.irec`` file does."""


class UnsupportedVersionError(BitstreamError):
    """The file was written by a newer irec."""


class TruncatedFileError(BitstreamError):
    """The file ends before what its header promises."""


class CorruptFileError(BitstreamError):
    """The bytes contradict themselves or the checksum of the decoded pixels."""


class ModelMismatchError(BitstreamError):
    """The file needs another checkpoint than the one at hand."""


class CheckpointError(IrecError):
    """A checkpoint is absent, incomplete or damaged."""


class DataError(IrecError):
    """A data set or an image file is absent, damaged or of the wrong kind."""


class TrainingError(IrecError):
    """A training run cannot go on, or has nothing to do."""


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is too little memory; torch says so in a RuntimeError."""
    if isinstance(error, MemoryError):
        return True
    # Of the CPU's allocator torch tells only by these words.
    words = ("out of memory", "not enough memory", "can't allocate memory")
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)


class OutputFileError(IrecError):
    """A file could not be written: it exists, the disk is full, or permission is missing."""
