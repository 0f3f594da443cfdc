import pytest

from irec.models.zoo import load_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tiny_checkpoint):
    return load_checkpoint(tiny_checkpoint)
