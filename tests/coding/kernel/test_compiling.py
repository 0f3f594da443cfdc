import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

import irec
from irec.coding.kernel.compiling import outer


def test_without_a_place_for_its_cache_the_kernel_compiles_all_the_same(monkeypatch):
    njit = numba.njit

    def njit_without_cache(*args, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(*args, **options)

    monkeypatch.setattr(numba, "njit", njit_without_cache)
    assert outer("int64(int64)")(lambda x: x + 1)(41) == 42


@pytest.mark.slow
def test_what_an_earlier_run_has_compiled_is_used_until_a_source_changes(tmp_path):
    package = tmp_path / "irec"
    shutil.copytree(
        Path(irec.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    program = """
from irec.coding.kernel.stream import search_stream
print(*search_stream.stats.cache_hits.values())
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    environment.pop("PYTHONPATH", None)

    def n_hits() -> int:
        command = [sys.executable, "-c", program]  # which looks for packages where it runs
        options = {"cwd": tmp_path, "env": environment, "capture_output": True}
        return len(subprocess.run(command, check=True, **options).stdout.split())

    assert [n_hits(), n_hits()] == [0, 1]
    for file in ("kernel/selection.py", "shared_randomness.py"):
        with (package / "coding" / file).open("a") as source:
            source.write("\n_CHANGED = True\n")
        assert [n_hits(), n_hits()] == [0, 1]


@pytest.mark.slow
def test_the_kernel_compiles_for_processors_that_multiply_no_bytes(tmp_path):
    program = """
import torch
from torch.distributions import Normal
from irec.coding import decode, encode
from irec.coding.kernel.products import HAS_BYTE_PRODUCTS
assert not HAS_BYTE_PRODUCTS
posterior = Normal(torch.linspace(-2.0, 2.0, 40).double(), torch.full((40,), 0.1).double())
prior = Normal(torch.zeros(40).double(), torch.ones(40).double())
z = decode(encode(posterior, prior, 0), prior, 0)
assert ((z - posterior.loc) / posterior.scale).abs().max() < 6.0
"""
    generic = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": tmp_path}
    environment = {**os.environ, **{name: str(value) for name, value in generic.items()}}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


def test_decoding_needs_no_compiler():
    program = """
import sys, torch
from torch.distributions import Normal
from irec.coding import TensorCode, decode
prior = Normal(torch.zeros(40), torch.ones(40))
decode(TensorCode(3, 1, torch.tensor([1, 2, 3])), prior, seed=0)
assert "numba" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
