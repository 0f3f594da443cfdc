import json

import numpy as np
import pytest
import torch
from torch.distributions import Normal
from typer.testing import CliRunner

from irec.coding import kl_nats
from irec.commands import benchmark, benchmark_posteriors
from irec.defaults import SAMPLES
from irec.images import encode_image
from tests.golden.regenerate import LOSSLESS_MODEL


def test_synthetic_posteriors_have_the_kl_asked_for():
    for kl in (1.0, 300.0):
        posterior, prior = benchmark.synthetic_posterior(kl, 1000, 3)
        assert float(kl_nats(posterior, prior)) == pytest.approx(kl, rel=1e-9)


def test_command_writes_its_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "_KL_NATS", (10.0, 20.0))
    monkeypatch.setattr(benchmark, "_N_DIMS", 50)
    path = tmp_path / "coder.json"
    result = CliRunner().invoke(benchmark.app, ["coder", "--json", str(path), "--tensors", "1"])
    assert result.exit_code == 0, result.output
    rows = json.loads(path.read_text())
    assert [(row["coder"], row["kl_nats"]) for row in rows] == [
        ("paper", 10.0),
        ("default", 10.0),
        ("paper", 20.0),
        ("default", 20.0),
    ]
    assert all(row["sent_nats"] > 0 and row["encode_s"] > 0 and row["dims"] == 50 for row in rows)
    assert [file.name for file in tmp_path.iterdir()] == ["coder.json"]


def test_posteriors_of_a_checkpoint_are_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark_posteriors, "_EFFORTS", (1, 2))
    images = tmp_path / "images"
    images.mkdir()
    (images / "one.png").write_bytes(
        encode_image(np.arange(192, dtype=np.uint8).reshape(8, 8, 3), ".png")
    )
    path = tmp_path / "coder.json"
    command = ["coder", "--checkpoint", str(LOSSLESS_MODEL), "--images", str(images), "--side", "4"]
    command += ["--beams", "7", "--beams", "9", "--json", str(path)]
    result = CliRunner().invoke(benchmark.app, command)
    assert result.exit_code == 0, result.output
    rows = json.loads(path.read_text())
    coders = {row["coder"] for row in rows}
    assert {"paper, beam", "irec, effort 1", "irec, effort 2"} <= coders
    assert {"irec, 7 beams", "irec, 9 beams"} <= coders
    assert {row["kind"] for row in rows} <= {"dense", "diffuse"}
    of_coder = [sum(row["kl_nats"] for row in rows if row["coder"] == coder) for coder in coders]
    assert of_coder == pytest.approx([of_coder[0]] * len(of_coder))
    assert all(row["encode_s"] > 0 and row["decode_s"] > 0 for row in rows)


def test_a_coder_that_cannot_code_the_posteriors_is_left_out(tmp_path, monkeypatch):
    scale = torch.cat((torch.full((16,), 1.5), torch.full((24,), 0.1))).double()[None]
    pair = Normal(torch.zeros_like(scale), scale), Normal(torch.zeros_like(scale), 1.0)
    monkeypatch.setattr(benchmark_posteriors, "_EFFORTS", (1,))
    monkeypatch.setattr(benchmark_posteriors, "posteriors_of", lambda *_: [pair])
    told = []
    rows = benchmark_posteriors.benchmark_posteriors(
        str(LOSSLESS_MODEL), SAMPLES, 4, None, (), told.append
    )
    assert {row.coder for row in rows} == {"paper, beam", "paper, importance", "irec, effort 1"}
    assert any("narrower than their priors" in line for line in told)


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        (["--quality", "0", "--beams", "4"], "--quality, --beams: only with --checkpoint"),
        (["--checkpoint", "rvae-small", "--tensors", "2"], "--tensors: not with --checkpoint"),
    ],
)
def test_options_that_would_change_nothing_are_refused(options, refusal):
    result = CliRunner().invoke(benchmark.app, ["coder", *options])
    assert result.exit_code == 2
    assert refusal in result.output + str(result.exception)


def test_a_model_without_latent_tensors_is_refused():
    result = CliRunner().invoke(benchmark.app, ["coder", "--checkpoint", "rvae-photo"])
    assert result.exit_code == 1
    assert "rvae-photo has no latent tensors" in result.output + str(result.exception)


def test_a_command_is_required():
    assert CliRunner().invoke(benchmark.app, []).exit_code != 0
