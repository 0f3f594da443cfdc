"""Lossy files of format version 1, made with tiny models of their own, decode as pinned.

The promise is equality on one device, and one grey level between devices.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import irec
from irec.bitstream import read_header
from irec.errors import BitstreamError
from irec.images import read_image
from tests.instruction_sets import each_of

FOLDER = Path(__file__).parent
FILES = sorted(path for kind in ("lossy", "transform") for path in FOLDER.glob(f"{kind}/*.irec"))

_DECODE_ALL = """
import sys
from pathlib import Path
import irec
for path in map(Path, sys.argv[1:]):
    model = str(path.parent.parent / "models" / path.parent.name)
    pixels = irec.decompress(path.read_bytes(), allow_truncated=True, checkpoint=model)
    sys.stdout.write(pixels.tobytes().hex() + "\\n")
"""


def name_of(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


def model_of(path: Path) -> str:
    return str(FOLDER / "models" / path.parent.name)


def difference(one: np.ndarray, other: np.ndarray) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def test_every_colour_kind_is_pinned():
    kinds = {read_header(path.read_bytes()).colour.name for path in FILES}
    assert kinds == {"RGB", "RGBA", "GREY", "GREY_ALPHA"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_pinned_files_decode(path):
    is_cut = "truncated" in path.stem
    decoded = irec.decompress(path.read_bytes(), allow_truncated=is_cut, checkpoint=model_of(path))
    assert difference(decoded, read_image(path.with_suffix(".png"))) <= 1


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*/*truncated.irec")), ids=name_of)
def test_the_file_that_was_cut_off_is_refused_unless_that_is_allowed(path):
    with pytest.raises(BitstreamError, match="allow-truncated"):
        irec.decompress(path.read_bytes(), checkpoint=model_of(path))


@pytest.mark.parametrize("capability", each_of("default", "avx2"))
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
        expected = read_image(path.with_suffix(".png"))
        found = np.frombuffer(bytes.fromhex(line), np.uint8).reshape(expected.shape)
        assert difference(found, expected) <= 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_pinned_files_decode_on_a_gpu(path):
    data = path.read_bytes()
    decoded = irec.decompress(data, allow_truncated=True, checkpoint=model_of(path), device="cuda")
    assert difference(decoded, read_image(path.with_suffix(".png"))) <= 1
