"""Rows of results made up for tests."""

from irec.evaluation.results import ImageResult, LossyResult


def lossless_row(name="a", webp_bits=900, scale=1):
    return ImageResult(
        name=name,
        height=4,
        width=5 * scale,
        channels=3,
        file_bits=800 * scale,
        ideal_bits=750.0 * scale,
        kl_bits=100.0 * scale,
        index_bits=104 * scale,
        side_bits=40 * scale,
        residual_bits=656 * scale,
        encode_s=1.5,
        decode_s=0.5,
        png_bits=1000 * scale,
        webp_bits=webp_bits,
    )


def lossy_row(name="a", quality=50.0, **changes):
    """File 1.0 bpp and 30 dB, ideal 0.8 bpp and 31 dB, unless `changes` says otherwise."""
    values = {
        "name": name,
        "quality": quality,
        "trade_off": 0.01,
        "height": 10,
        "width": 20,
        "channels": 3,
        "file_bits": 200,
        "ideal_bits": 160.0,
        "index_bits": 170,
        "side_bits": 30,
        "psnr_db": 30.0,
        "ms_ssim": 0.99,
        "ideal_psnr_db": 31.0,
        "ideal_ms_ssim": 0.999,
        "encode_s": 1.5,
        "decode_s": 0.5,
    }
    return LossyResult(**(values | changes))


def lossy_curve_rows(names=("a", "b"), qualities=(10.0, 30.0, 50.0, 70.0, 90.0)):
    """Rows whose PSNR rises by 3 dB and whose rate doubles from quality to quality."""
    return [
        lossy_row(
            name,
            quality,
            trade_off=0.001 * 2**step,
            file_bits=100 * 2**step,
            ideal_bits=80.0 * 2**step,
            psnr_db=25.0 + 3 * step,
            ideal_psnr_db=25.0 + 3 * step,
            ms_ssim=1 - 0.1 * 2.0**-step,
            ideal_ms_ssim=1 - 0.1 * 2.0**-step,
        )
        for name in names
        for step, quality in enumerate(qualities)
    ]
