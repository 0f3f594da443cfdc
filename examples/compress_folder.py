"""Compress a folder with a progress bar: python examples/compress_folder.py IMAGES OUTPUT."""

import sys
from pathlib import Path

from rich.progress import track

from irec.codec import load_codec
from irec.errors import IrecError
from irec.files import write_atomically
from irec.images import image_paths, read_image


def main(source: Path, target: Path, effort: int = 3) -> int:
    """Compress every image below `source`; return how many could not be."""
    codec = load_codec(effort=effort)
    n_failed, n_values, n_bits = 0, 0, 0
    for path in track(image_paths(source), description="compressing"):
        try:
            pixels = read_image(path)
            encoded = codec.encode(pixels)
        except IrecError as error:
            print(f"failed: {error}", file=sys.stderr)
            n_failed += 1
            continue
        place = (target / path.relative_to(source)).with_suffix(".irec")
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place, encoded.data, overwrite=True)
        n_values, n_bits = n_values + pixels.size, n_bits + encoded.file_bits
    if n_values:
        print(f"{n_bits / n_values:.3f} bits per dimension")
    return n_failed


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])) > 0)
