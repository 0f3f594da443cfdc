"""Rate and distortion of one photograph: python examples/rate_distortion.py IMAGE [PLOT.svg]."""

import sys
from pathlib import Path

from matplotlib.figure import Figure

from irec.codec import load_codec
from irec.images import psnr_db, read_image


def main(image: Path, plot: Path, qualities: tuple[float, ...] = (0, 25, 50, 75, 100)) -> None:
    """Compress at several qualities, and plot PSNR over bits per pixel beside the ideal."""
    codec = load_codec(lossy=True, effort=3)
    pixels = read_image(image)[:, :, :3]
    n_pixels = pixels.shape[0] * pixels.shape[1]
    files, ideals = [], []
    for quality in qualities:
        encoded = codec.encode(pixels, quality)
        ideal = codec.ideal(pixels, quality)
        files.append((encoded.file_bits / n_pixels, psnr_db(pixels, encoded.pixels)))
        ideals.append((ideal.kl_bits / n_pixels, psnr_db(pixels, ideal.pixels[0])))
        print(f"quality {quality:g}: {files[-1][0]:.4f} bpp, {files[-1][1]:.2f} dB")
    axes = (drawing := Figure(layout="constrained")).subplots()
    axes.plot(*zip(*files, strict=True), "o-", label="file")
    axes.plot(*zip(*ideals, strict=True), "o--", label="ideal")
    axes.set_xlabel("bits per pixel")
    axes.set_ylabel("PSNR (dB)")
    axes.legend()
    drawing.savefig(plot)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "rate_distortion.svg"))
