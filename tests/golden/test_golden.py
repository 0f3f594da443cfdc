"""Files of format version 1, made with the shipped checkpoint, decode to the pinned pixels."""

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

FOLDER = Path(__file__).parent
FILES = sorted(FOLDER.glob("*.irec"))

_DECODE_ALL = """
import sys
from pathlib import Path
import irec
for path in map(Path, sys.argv[1:]):
    sys.stdout.write(irec.decompress(path.read_bytes()).tobytes().hex() + "\\n")
"""


def test_every_colour_kind_is_pinned():
    assert {read_header(path.read_bytes()).colour.name for path in FILES} == {
        "RGB",
        "RGBA",
        "GREY",
        "GREY_ALPHA",
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_pinned_files_decode(path):
    assert np.array_equal(irec.decompress(path.read_bytes()), read_image(path.with_suffix(".png")))


@pytest.mark.parametrize("capability", ["default", "avx2"])
def test_pinned_files_decode_with_another_instruction_set(capability):
    environment = {
        **os.environ,
        "ATEN_CPU_CAPABILITY": capability,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.getcwd(),
    }
    command = [sys.executable, "-c", _DECODE_ALL, *map(str, FILES)]
    run = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    for path, line in zip(FILES, run.stdout.splitlines(), strict=True):
        assert line == read_image(path.with_suffix(".png")).tobytes().hex()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_pinned_files_decode_on_a_gpu_and_back(path):
    pixels = read_image(path.with_suffix(".png"))
    assert np.array_equal(irec.decompress(path.read_bytes(), device="cuda"), pixels)
    assert np.array_equal(irec.decompress(irec.compress(pixels, device="cuda")), pixels)
