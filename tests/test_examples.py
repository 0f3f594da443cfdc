"""The scripts in examples/ run as they stand, on tiny models."""

import importlib.util
import itertools
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import irec
from irec.codec.export import export_checkpoint
from irec.errors import CheckpointError, DataError
from irec.images import encode_image, read_image
from irec.models import zoo
from tests.checkpoints import write_lattice_checkpoint, write_transform_checkpoint
from tests.pictures import picture

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tiny_models(monkeypatch, tiny_checkpoint, tiny_lossy_checkpoint):
    monkeypatch.setattr("irec.codec.api.DEFAULT_CHECKPOINT", str(tiny_checkpoint))
    monkeypatch.setattr("irec.codec.api.DEFAULT_LOSSY_CHECKPOINT", str(tiny_lossy_checkpoint))
    monkeypatch.setattr(
        zoo, "_shipped", lambda: {"tiny": tiny_checkpoint, "tiny-lossy": tiny_lossy_checkpoint}
    )
    irec.codec.load_codec.cache_clear()
    yield
    irec.codec.load_codec.cache_clear()


def test_latents_of_your_vae(capsys):
    load("code_latents_of_your_vae").main()
    assert "KL" in capsys.readouterr().out


def test_a_folder(tiny_models, tmp_path, capsys):
    (tmp_path / "in/inner").mkdir(parents=True)
    (tmp_path / "in/inner/a.png").write_bytes(encode_image(picture(9, 12, 3), ".png"))
    (tmp_path / "in/b.png").write_bytes(b"no image")
    n_failed = load("compress_folder").main(tmp_path / "in", tmp_path / "out", effort=1)
    assert n_failed == 1
    assert "b.png" in capsys.readouterr().err
    data = (tmp_path / "out/inner/a.irec").read_bytes()
    assert (irec.decompress(data) == read_image(tmp_path / "in/inner/a.png")).all()


def test_rate_distortion(tiny_models, tmp_path):
    (tmp_path / "a.png").write_bytes(encode_image(picture(64, 96, 3), ".png"))
    load("rate_distortion").main(tmp_path / "a.png", tmp_path / "a.svg", (0.0, 100.0))
    assert "<svg" in (tmp_path / "a.svg").read_text()


@pytest.fixture
def training(monkeypatch):
    """The script, changed so that a few steps show; a minute has 480 on any machine."""
    script = load("train_in_cuda_graphs")
    clock = itertools.count(step=0.125)
    monkeypatch.setattr(script, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    monkeypatch.setattr(script, "AVERAGING", 0.5)
    monkeypatch.setattr(script, "WARMUP_STEPS", 1)
    return script


def falls(said):
    """How far the loss of each source of validation images fell, of what it was at first."""
    first, last = (
        [float(loss) for loss in re.findall(r" loss ([\d.]+)", line)]
        for line in said.splitlines()
        if " loss " in line
    )
    return [1.0 - after / before for before, after in zip(first, last, strict=True)]


def test_training_goes_on_from_a_lossy_checkpoint(training, tmp_path, capsys):
    start, images = write_transform_checkpoint(tmp_path / "start"), tmp_path / "images"
    images.mkdir()
    for name, height in (("a", 128), ("b", 140)):
        (images / f"{name}.png").write_bytes(encode_image(picture(height, 128, 3), ".png"))
    arguments = [start, images, "--val", images, "-o", tmp_path / "run.ckpt"]
    options = ["--batch", 2, "--side", 64, "--minutes", 0.03]
    training.main([str(word) for word in (*arguments, *options)])
    assert min(falls(capsys.readouterr().out)) > 0.01
    made = str(tmp_path / "made")
    export_checkpoint(tmp_path / "run.ckpt", Path(made), [picture(192, 192, 3)])
    data = irec.compress(picture(64, 64, 3), lossy=True, checkpoint=made, effort=1)
    assert irec.decompress(data, checkpoint=made).shape == (64, 64, 3)


def test_training_goes_on_from_a_lossless_checkpoint(training, tmp_path, capsys):
    start, images = write_lattice_checkpoint(tmp_path / "start"), tmp_path / "images"
    images.mkdir()
    (images / "a.png").write_bytes(encode_image(picture(80, 64, 3), ".png"))
    np.save(tmp_path / "small.npy", np.stack([picture(16, 16, 3), picture(16, 16, 3, seed=1)]))
    sources = [images, tmp_path / "small.npy"]
    arguments = [start, *sources, "--val", *sources, "-o", tmp_path / "run.ckpt"]
    options = ["--batch", 4, "--side", 16, "--minutes", 0.02, "--rate", 5e-3]
    training.main([str(word) for word in (*arguments, *options)])
    assert min(falls(capsys.readouterr().out)) > 0.01
    made = str(tmp_path / "made")
    export_checkpoint(tmp_path / "run.ckpt", Path(made), [picture(192, 192, 3)])
    image = picture(24, 20, 3)
    data = irec.compress(image, checkpoint=made)
    assert (irec.decompress(data, checkpoint=made) == image).all()


def test_training_refuses_what_it_cannot_use(training, tmp_path):
    lattice = write_lattice_checkpoint(tmp_path / "lattice")
    transform = write_transform_checkpoint(tmp_path / "transform")
    (tmp_path / "a.png").write_bytes(encode_image(picture(128, 120, 3), ".png"))

    small = tmp_path / "small.npy"
    np.save(small, np.stack([picture(32, 32, 3)]))

    def train(start, *options, source=tmp_path, val=tmp_path):
        arguments = [start, source, "--val", val, "-o", tmp_path / "run", *options]
        training.main([str(word) for word in arguments])

    with pytest.raises(DataError, match=r"a.png is 128x120; at least 128x128 pixels"):
        train(lattice, "--side", 32)
    with pytest.raises(DataError, match=r"small_00000 is 32x32; at least 64x64"):
        train(transform, "--side", 64, source=small)
    with pytest.raises(DataError, match=r"small_00000 is 32x32; at least 64x64"):
        train(transform, "--side", 64, val=small)
    with pytest.raises(CheckpointError, match="holds a RVAE"):
        train("rvae-small")
    for options in (("--side", 65), ("--side", 0), ("--batch", 1), ("--minutes", 0)):
        with pytest.raises(SystemExit):
            train(transform, *options)
    (tmp_path / "run").write_text("mine")
    with pytest.raises(SystemExit):
        train(lattice, "--side", 16)
    assert (tmp_path / "run").read_text() == "mine"
