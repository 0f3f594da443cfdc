import json

import pytest

from irec.evaluation.rate_distortion import KODAK_NAMES, published_curves
from irec.evaluation.results import write_results
from tests.commands.command_line import irec
from tests.evaluation.rows import lossless_row, lossy_curve_rows, lossy_row


def written(folder, rows):
    folder.mkdir(parents=True, exist_ok=True)
    write_results(folder, rows, {}, {})
    return folder / "results.json"


@pytest.fixture
def kodak(tmp_path):
    """Results that are iREC's published ones, on every image alike."""
    curves = published_curves()
    file, ideal = curves["irec2020-mse-actual"], curves["irec2020-mse-ideal"]
    size = 1_000_000
    rows = [
        lossy_row(
            f"{name}.png",
            10.0 * i,
            height=1000,
            width=1000,
            file_bits=round(file.bpp[i] * size),
            ideal_bits=ideal.bpp[i] * size,
            psnr_db=file.psnr_db[i],
            ms_ssim=file.ms_ssim[i],
            ideal_psnr_db=ideal.psnr_db[i],
            ideal_ms_ssim=ideal.ms_ssim[i],
        )
        for name in KODAK_NAMES
        for i in range(5)
    ]
    return written(tmp_path / "kodak", rows)


def test_published_figures_come_out(kodak, tmp_path):
    result = irec("evaluate", kodak, "--json", tmp_path / "out.json")
    assert result.exit_code == 0, result.stderr
    (own,) = (line for line in result.stdout.splitlines() if "own ideal" in line)
    assert "+32.5 %  (27.0-35.6)" in own
    (jpeg,) = (line for line in result.stdout.splitlines() if " jpeg " in line)
    assert "-51.3 %" in jpeg
    document = json.loads((tmp_path / "out.json").read_text())
    assert [point["n_images"] for point in document["operating_points"]] == [24] * 5
    assert document["operating_points"][0]["ms_ssim_db"] == pytest.approx(9.40, abs=0.005)
    rates = {rate["against"]: rate for rate in document["bd_rates"]}
    assert len(rates) == 36
    assert rates["vtm"]["file_psnr"]["percent"] == pytest.approx(66.1, abs=0.05)
    assert rates["bpg_444"]["ideal_psnr"]["percent"] == pytest.approx(-3.3, abs=0.05)
    assert rates["paper-elic2022-mse"]["file_ms_ssim"] is None


def test_published_curves_can_be_chosen(kodak):
    lines = irec("evaluate", kodak, "--against", "vtm, jpeg").stdout.splitlines()
    names = [line.split()[1] for line in lines if "%  (" in line]
    assert names == ["own", "jpeg", "vtm"]
    assert " vtm " not in irec("evaluate", kodak, "--against", "none").stdout


def test_models_of_one_rate_make_one_curve(tmp_path):
    paths = [
        written(tmp_path / str(i), [lossy_row(name, None, trade_off=0.01 * 2**i) for name in "ab"])
        for i in range(3)
    ]
    result = irec("evaluate", *paths)
    assert result.exit_code == 0, result.stderr
    assert len([line for line in result.stdout.splitlines() if "mean of 2" in line]) == 3
    assert "not of these 2" in result.stdout


def test_what_cannot_be_evaluated_is_one_line(tmp_path, kodak):
    lossless = written(tmp_path / "lossless", [lossless_row()])
    other = written(tmp_path / "other", lossy_curve_rows())
    for arguments, message in [
        ([tmp_path / "absent.json"], "absent.json: no such file"),
        ([lossless], "need lossy results"),
        ([kodak, other], "different images"),
        ([kodak, "--against", "jpg"], "there is jpeg"),
        ([kodak, "--json", tmp_path / "absent" / "out.json"], "cannot write"),
    ]:
        result = irec("evaluate", *arguments)
        assert result.exit_code == 1
        assert len(result.stderr.splitlines()) == 1
        assert message in result.stderr
    before = kodak.read_bytes()
    result = irec("evaluate", kodak, "--json", kodak)
    assert result.exit_code == 2
    assert kodak.read_bytes() == before
