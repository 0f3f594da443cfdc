import json

import pytest
from typer.testing import CliRunner

from irec.commands import benchmark_training
from irec.commands.benchmark import app

SMALL = ["--blocks", "2", "--hidden", "8", "--latent", "2", "--batch", "2", "--steps", "2"]


def test_every_way_is_measured_against_the_plain_one(tmp_path, monkeypatch):
    # Compiling takes half a minute.
    ways = [way for way in benchmark_training._WAYS if not way.compiled]
    monkeypatch.setattr(benchmark_training, "_WAYS", ways)
    path = tmp_path / "training.json"
    result = CliRunner().invoke(app, ["training", *SMALL, "--json", str(path)])
    assert result.exit_code == 0, result.output
    rows = json.loads(path.read_text())
    assert [row["way"] for row in rows] == ["plain", "channels_last", "bf16-mixed"]
    for row in rows:
        assert row["ratio"] == pytest.approx(row["images_per_s"] / rows[0]["images_per_s"])
        assert row["way"] in result.output


@pytest.mark.slow
def test_compiled_steps_run(tmp_path):
    result = CliRunner().invoke(app, ["training", *SMALL])
    assert result.exit_code == 0, result.output
    assert "all three" in result.output


@pytest.mark.parametrize("command", ["training", "coder"])
def test_a_file_that_cannot_be_written_is_named_before_the_run(tmp_path, command):
    (tmp_path / "taken.json").write_text("precious")
    for name, words in (("absent/x.json", "does not exist"), ("taken.json", "exists already")):
        result = CliRunner().invoke(app, [command, "--json", str(tmp_path / name)])
        assert result.exit_code == 1
        assert words in result.stderr
    assert (tmp_path / "taken.json").read_text() == "precious"


def test_interruption_is_one_line(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(benchmark_training, "_training_step", interrupted)
    result = CliRunner().invoke(app, ["training", *SMALL])
    assert (result.exit_code, result.stderr) == (130, "irec: interrupted\n")
