import pytest

from tests.datamodules.publisher import serve


@pytest.fixture
def publisher(monkeypatch):
    """An HTTP server on this machine; further attempts at a download come at once."""
    # Imported late: the hook in the outer conftest has to come first.
    from irec.datamodules import download

    monkeypatch.setattr(download, "RETRY_DELAYS_S", (0.0, 0.0, 0.0))
    with serve() as publisher:
        yield publisher
