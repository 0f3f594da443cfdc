"""Files of format version 1, made with a tiny model of their own, decode to the pinned pixels."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import irec
from irec.bitstream import read_header
from irec.images import read_image
from tests.golden import explain, regenerate
from tests.instruction_sets import each_of

FOLDER = Path(__file__).parent
MODEL = str(FOLDER / "models" / "lossless")
FILES = sorted(FOLDER.glob("*.irec"))

_DECODE_ALL = """
import sys
from pathlib import Path
import irec
for path in map(Path, sys.argv[2:]):
    pixels = irec.decompress(path.read_bytes(), checkpoint=sys.argv[1])
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


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_pinned_files_decode(path):
    decoded = irec.decompress(path.read_bytes(), checkpoint=MODEL)
    assert np.array_equal(decoded, read_image(path.with_suffix(".png")))


@pytest.mark.parametrize("capability", each_of("default", "avx2"))
def test_pinned_files_decode_with_another_instruction_set(capability):
    environment = {
        **os.environ,
        "ATEN_CPU_CAPABILITY": capability,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.getcwd(),
    }
    command = [sys.executable, "-c", _DECODE_ALL, MODEL, *map(str, FILES)]
    run = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    for path, line in zip(FILES, run.stdout.splitlines(), strict=True):
        assert line == read_image(path.with_suffix(".png")).tobytes().hex()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_pinned_files_decode_on_a_gpu_and_back(path):
    pixels = read_image(path.with_suffix(".png"))
    decoded = irec.decompress(path.read_bytes(), checkpoint=MODEL, device="cuda")
    assert np.array_equal(decoded, pixels)
    data = irec.compress(pixels, checkpoint=MODEL, device="cuda")
    assert np.array_equal(irec.decompress(data, checkpoint=MODEL), pixels)
