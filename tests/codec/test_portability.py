"""A file decodes in another process, with other instruction sets and numbers of threads."""

import os
import subprocess
import sys

import numpy as np
import pytest

from irec.codec import LosslessCodec
from tests.pictures import picture

_DECODE = """
import sys
import numpy as np
from irec.codec import decompress
np.save(sys.argv[3], decompress(open(sys.argv[1], "rb").read(), checkpoint=sys.argv[2]))
"""


@pytest.mark.parametrize(
    "environment",
    [
        {"OMP_NUM_THREADS": "1"},
        {"OMP_NUM_THREADS": "2"},
        {"ATEN_CPU_CAPABILITY": "default"},
        {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "COMPATIBLE"},
    ],
    ids=lambda environment: "-".join(environment.values()),
)
def test_another_process_decodes_the_same_pixels(
    tmp_path, checkpoint, tiny_checkpoint, environment
):
    image = picture(70, 90, 3)
    images = [picture(70, 90, 3, seed) for seed in range(3)]
    codec = LosslessCodec(checkpoint, effort=1, verify=False)
    data = codec.encode([image, *images])[0].data
    (tmp_path / "image.irec").write_bytes(data)
    subprocess.run(
        [sys.executable, "-c", _DECODE, "image.irec", tiny_checkpoint, "decoded.npy"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.getcwd(), **environment},
        check=True,
    )
    assert np.array_equal(np.load(tmp_path / "decoded.npy"), image)
