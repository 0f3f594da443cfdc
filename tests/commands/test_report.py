"""``irec report``: a page that a browser shows, and that a person can work with by keyboard."""

import io
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from irec.evaluation.measurements import Measurement
from irec.evaluation.report import Picture, render, same_size
from tests.commands.command_line import irec
from tests.pictures import picture


def measurement(codec, image, setting, file_bits, psnr_db=math.inf):
    return Measurement(codec, image, setting, 40, 60, 3, file_bits, psnr_db, None, 0.5, 0.1)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    measured = [
        measurement("PNG", "<a>.png", None, 9000),
        measurement("JPEG", "<a>.png", 50.0, 10_000, 30.0),
        measurement("JPEG", "<a>.png", 90.0, 800, 35.0),
    ]
    original = picture(40, 60, 3)
    versions = {"irec (100 bytes)": 255 - original, "JPEG (98 bytes)": original // 2}
    text = render(measured, {}, [Picture("<a>.png", original, versions)], "a report")
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(text)
    return path


def test_the_page_needs_nothing_else_and_escapes_names(page):
    text = page.read_text()
    assert "<a>.png" not in text
    assert "&lt;a&gt;.png" in text
    without_svg = re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL)
    assert not re.search(r"(src|href)=\"(?!data:|#)", without_svg)
    assert "http" not in without_svg


def test_versions_have_at_most_the_same_size():
    pixels = picture(64, 64, 3)
    versions = same_size(pixels, 1500)
    assert len(versions) == 2
    for label, decoded in versions.items():
        assert decoded.shape == pixels.shape
        assert int(re.search(r"([\d,]+) bytes", label)[1].replace(",", "")) <= 1500
    assert same_size(pixels, 10) == {}


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def shown(browser, page):
    tab, errors = browser.new_page(), []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("request", lambda request: errors.append(request.url) if "http" in request.url else 0)
    tab.goto(page.as_uri())
    yield tab
    tab.close()
    assert errors == []


def test_a_heading_sorts_by_numbers_up_and_down(shown):
    heading = shown.locator("#files ~ .wide >> nth=0").get_by_role("button", name="bytes")
    heading.focus()
    columns = []
    for _ in range(2):
        shown.keyboard.press("Enter")
        cells = shown.locator("#files ~ .wide >> nth=0").locator("tbody tr td:nth-child(4)")
        columns.append(cells.all_inner_texts())
    assert columns == [["100", "1,125", "1,250"], ["1,250", "1,125", "100"]]


def test_arrow_keys_move_the_line_and_a_choice_changes_the_picture(shown):
    compare = shown.locator("#picture-1")
    compare.get_by_role("slider").focus()
    shown.keyboard.press("ArrowRight")
    assert compare.locator(".layers").get_attribute("style") == "--at: 51%;"
    assert compare.locator(".over:visible").get_attribute("alt") == "irec (100 bytes)"
    compare.get_by_role("combobox").select_option(label="JPEG (98 bytes)")
    assert compare.locator(".over:visible").get_attribute("alt") == "JPEG (98 bytes)"


def test_what_is_right_of_the_line_is_the_other_version(shown):
    image = shown.locator("#picture-1 .layers").screenshot()

    pixels = np.asarray(Image.open(io.BytesIO(image)).convert("RGB")).astype(int)
    original = picture(40, 60, 3).astype(int)
    left, right = pixels[5:35, 3:25], pixels[5:35, 35:57]
    # The browser may move an image by a fraction of a pixel.
    assert np.abs(left - original[5:35, 3:25]).mean() < 20
    assert np.abs(right - (255 - original[5:35, 35:57])).mean() < 20
    assert np.abs(right - original[5:35, 35:57]).mean() > 60


def test_a_phone_does_not_scroll_sideways(browser, page):
    phone = browser.new_page(viewport={"width": 360, "height": 640}, is_mobile=True)
    phone.goto(page.as_uri())
    assert phone.evaluate("document.documentElement.scrollWidth") <= 360
    phone.close()


def test_the_command_shows_files_beside_their_originals(
    tmp_path, monkeypatch, tiny_lossy_checkpoint
):
    from irec.datamodules.batches import ImageBatch, NamedImage
    from irec.measuring.compression import CoderOptions
    from irec.measuring.run import CompressionRun
    from irec.models.zoo import load_checkpoint

    monkeypatch.chdir(tmp_path)
    Path("pictures").mkdir()
    pixels = picture(24, 40, 3)
    Image.fromarray(pixels).save("pictures/a.png")
    options = CoderOptions(effort=1, ideal_samples=1, qualities=[0.0, 100.0])
    run = CompressionRun(
        options.codec(load_checkpoint(tiny_lossy_checkpoint)), options, Path("out")
    )
    run.do(ImageBatch([NamedImage("a.png", pixels)], []))
    run.finish()
    arguments = ["report", "out/results.json", "-o", "page.html", "--images", "pictures"]
    arguments += ["--checkpoint", str(tiny_lossy_checkpoint)]
    result = irec(*arguments)
    assert result.exit_code == 0, result.output
    text = Path("page.html").read_text()
    assert "irec, quality 100" in text
    assert "Files against their ideal" in text
    assert irec(*arguments).exit_code != 0  # never overwritten unasked
