"""Shape and type checks in every module under test; tests that cannot influence one another."""

import random
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import settings

# Before anything of irec is imported: the hook rewrites modules as they load.
jaxtyping.install_import_hook("irec", "beartype.beartype")

# How long an example takes depends on what else runs; pytest-timeout sees to the rest.
settings.register_profile("irec", deadline=None)
settings.load_profile("irec")

# More threads than cores make small convolutions slower.
torch.set_num_threads(2)


@pytest.fixture(autouse=True)
def same_random_numbers_in_any_order() -> Iterator[None]:
    """Every test starts from the same global generators and leaves them as they were."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        yield
    random.setstate(states[0])
    np.random.set_state(states[1])


@pytest.fixture
def no_type_checks() -> Iterator[None]:
    """For tests of a check that the shape annotations, where they are enforced, would forestall."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a checkpoint of an untrained model."""
    # Imported late: the hook above has to come first.
    from tests.checkpoints import write_checkpoint

    return write_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny")


@pytest.fixture(scope="session")
def tiny_lossy_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a checkpoint of an untrained lossy model of many qualities."""
    from tests.checkpoints import write_lossy_checkpoint

    return write_lossy_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny-lossy")


@pytest.fixture(scope="session")
def one_rate_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a checkpoint of an untrained lossy model of one quality."""
    from tests.checkpoints import write_lossy_checkpoint

    folder = tmp_path_factory.mktemp("checkpoints") / "one-rate"
    return write_lossy_checkpoint(folder, lambdas=(0.02,))
