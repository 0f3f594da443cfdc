"""A file decodes in another process, with other instruction sets and numbers of threads."""

import os
import subprocess
import sys

import numpy as np
import pytest

from irec.bitstream.grid import COUPLING_GRID, LOG_SCALE_GRID, MEAN_GRID
from irec.codec import LosslessCodec
from tests.instruction_sets import AVAILABLE, each_of
from tests.pictures import picture

_DECODE = """
import sys
import numpy as np
from irec.codec import decompress
np.save(sys.argv[3], decompress(open(sys.argv[1], "rb").read(), checkpoint=sys.argv[2]))
"""


ENVIRONMENTS = {
    "one thread": {"OMP_NUM_THREADS": "1"},
    "two threads": {"OMP_NUM_THREADS": "2"},
    "default": {"ATEN_CPU_CAPABILITY": "default"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "COMPATIBLE"},
}


@pytest.mark.parametrize("environment", ["one thread", "two threads", *each_of("default", "avx2")])
def test_another_process_decodes_the_same_pixels(
    tmp_path, checkpoint, tiny_checkpoint, environment
):
    image = picture(70, 90, 3)
    images = [picture(70, 90, 3, seed) for seed in range(3)]
    codec = LosslessCodec(checkpoint, effort=1, verify=False)
    data = codec.encode_batch([image, *images])[0].data
    (tmp_path / "image.irec").write_bytes(data)
    subprocess.run(
        [sys.executable, "-c", _DECODE, "image.irec", tiny_checkpoint, "decoded.npy"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.getcwd(), **ENVIRONMENTS[environment]},
        check=True,
    )
    assert np.array_equal(np.load(tmp_path / "decoded.npy"), image)


_PARAMETERS = """
import sys
import numpy as np
import torch
from irec.models.zoo import load_checkpoint

model = load_checkpoint("rvae-small").model.double()
generator = torch.Generator().manual_seed(0)

def source(prior, posterior, tensor):
    noise = torch.randn(prior.loc.shape, generator=generator, dtype=torch.float64)
    return prior.loc + prior.scale * noise

with torch.no_grad():
    given = model.generate(source, None, 1, 96, 96)
np.savez(sys.argv[1], mean=given.mean, log_scale=given.log_scale, coupling=given.coupling)
"""


@pytest.mark.skipif(len(AVAILABLE) < 2, reason="the processor has one instruction set only")
def test_instruction_sets_drift_apart_by_far_less_than_the_bounds(tmp_path):
    found = []
    for capability in AVAILABLE:
        path = tmp_path / f"{capability}.npz"
        environment = {
            **os.environ,
            "PYTHONPATH": os.getcwd(),
            "ATEN_CPU_CAPABILITY": capability,
        }
        subprocess.run([sys.executable, "-c", _PARAMETERS, path], env=environment, check=True)
        found.append(np.load(path))
    grids = {"mean": MEAN_GRID, "log_scale": LOG_SCALE_GRID, "coupling": COUPLING_GRID}
    for name, grid in grids.items():
        drift = max(np.abs(one[name] - found[0][name]).max() for one in found[1:])
        assert drift < 0.1 * grid.drift_bound
