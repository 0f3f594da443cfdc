"""A folder of small images, and a checkpoint that compresses them badly but at once."""

import pytest
from PIL import Image

from tests.checkpoints import write_checkpoint
from tests.commands.command_line import irec
from tests.pictures import noise, picture


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny", seed=1)


@pytest.fixture(scope="session")
def other_checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("checkpoints") / "other", seed=2)


@pytest.fixture
def images(tmp_path):
    """A folder with a.png (RGB, 9x6 pixels) and inner/b.png (grey, 4x5)."""
    for name, array in {"a": noise(6, 9, 3), "inner/b": noise(5, 4)}.items():
        path = tmp_path / "images" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)
    return tmp_path / "images"


@pytest.fixture
def run(checkpoint):
    """Runs a command in this process: run("compress", path, ...) -> result."""

    def run(command, *arguments, use_checkpoint=True):
        options = ["--checkpoint", str(checkpoint)] if use_checkpoint else []
        if command == "compress" and "--effort" not in arguments:
            options += ["--effort", "1"]
        if command == "compress" and "--lossy" not in arguments:
            # The tiny model is worse than PNG on everything.
            options += ["--model-only"]
        return irec(command, *arguments, *options)

    return run


@pytest.fixture
def compressed(run, images):
    """images/a.irec beside images/a.png."""
    assert run("compress", images / "a.png").exit_code == 0
    return images / "a.irec"


@pytest.fixture
def photo(tmp_path):
    """An RGB image of 100x70 pixels, in a folder of its own."""
    path = tmp_path / "photos" / "photo.png"
    path.parent.mkdir()
    Image.fromarray(picture(70, 100, 3)).save(path)
    return path


@pytest.fixture
def run_lossy(run, tiny_lossy_checkpoint):
    """As `run`, with a lossy checkpoint; compresses with --lossy."""

    def run_lossy(command, *arguments, checkpoint=tiny_lossy_checkpoint):
        flag = ["--lossy"] if command == "compress" else []
        chosen = ["--checkpoint", checkpoint]
        return run(command, *arguments, *flag, *chosen, use_checkpoint=False)

    return run_lossy


@pytest.fixture
def lossy_file(run_lossy, photo):
    """photos/photo.irec, of the best quality, beside photos/photo.png."""
    assert run_lossy("compress", photo, "--quality", 100).exit_code == 0
    return photo.with_suffix(".irec")
