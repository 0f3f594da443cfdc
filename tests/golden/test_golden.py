"""Files of format version 1, made with a tiny model of their own, decode to the pinned pixels."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import irec
from irec.bitstream import STORED, read_header
from irec.codec import read_metadata
from irec.images import read_image
from tests.golden import explain, regenerate
from tests.instruction_sets import each_of

FOLDER = Path(__file__).parent
# Folder of the files -> folder of their model.
MODELS = {FOLDER: FOLDER / "models" / "lossless", FOLDER / "lattice": FOLDER / "models" / "lattice"}
FILES = [path for folder in MODELS for path in sorted(folder.glob("*.irec"))]
each_file = pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}_{p.stem}")


def model_of(path):
    return str(MODELS[path.parent])


_DECODE_ALL = """
import sys
from pathlib import Path
import irec
for model, path in zip(sys.argv[1::2], sys.argv[2::2]):
    pixels = irec.decompress(Path(path).read_bytes(), checkpoint=model)
    sys.stdout.write(pixels.tobytes().hex() + "\\n")
"""


def test_the_specification_explains_the_smallest_file():
    # If only this fails, python -m tests.golden.regenerate mends it.
    assert regenerate.page() == explain.PAGE.read_text()


def test_every_colour_kind_is_pinned():
    assert {read_header(path.read_bytes()).colour.name for path in FILES} == {
        "RGB",
        "RGBA",
        "GREY",
        "GREY_ALPHA",
    }


@each_file
def test_pinned_files_decode(path):
    decoded = irec.decompress(path.read_bytes(), checkpoint=model_of(path))
    assert np.array_equal(decoded, read_image(path.with_suffix(".png")))


@pytest.mark.parametrize("name", ["webp_48x40", "png_1x17000", "raw_1x2"])
def test_pinned_files_without_a_model_decode_and_hold_metadata(name):
    data = (FOLDER / f"stored_{name}.irec").read_bytes()
    assert read_header(data).profile == STORED
    assert read_metadata(data) == regenerate.METADATA


@pytest.mark.parametrize("capability", each_of("default", "avx2"))
def test_pinned_files_decode_with_another_instruction_set(capability):
    environment = {
        **os.environ,
        "ATEN_CPU_CAPABILITY": capability,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.getcwd(),
    }
    pairs = [text for path in FILES for text in (model_of(path), str(path))]
    command = [sys.executable, "-c", _DECODE_ALL, *pairs]
    run = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    for path, line in zip(FILES, run.stdout.splitlines(), strict=True):
        assert line == read_image(path.with_suffix(".png")).tobytes().hex()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@each_file
def test_pinned_files_decode_on_a_gpu_and_back(path):
    pixels = read_image(path.with_suffix(".png"))
    decoded = irec.decompress(path.read_bytes(), checkpoint=model_of(path), device="cuda")
    assert np.array_equal(decoded, pixels)
    data = irec.compress(pixels, checkpoint=model_of(path), device="cuda")
    assert np.array_equal(irec.decompress(data, checkpoint=model_of(path)), pixels)
