"""The scripts in examples/ run as they stand, on tiny models."""

import importlib.util
from pathlib import Path

import pytest

import irec
from irec.images import encode_image, read_image
from irec.models import zoo
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
