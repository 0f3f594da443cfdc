import re
import signal
import subprocess
import sys

import pytest
from PIL import Image

from irec import __version__
from irec.commands import app as app_module

COMMANDS = [
    "compress",
    "decompress",
    "inspect",
    "export",
    "evaluate",
    "plot",
    "benchmark",
    "fit",
    "validate",
    "test",
    "predict",
]


def irec(*arguments, **kwargs):
    return subprocess.run(
        [sys.executable, "-m", "irec", *map(str, arguments)],
        capture_output=True,
        text=True,
        **kwargs,
    )


def test_help_lists_every_command_on_one_line_each():
    result = irec("--help", env={"COLUMNS": "100", "PATH": ""})
    assert result.returncode == 0
    for command in COMMANDS:
        (line,) = (line for line in result.stdout.splitlines() if f"│ {command} " in line)
        assert line.rstrip(" │").endswith("."), line
    assert irec().stdout.split() == irec("--help").stdout.split()


def test_version():
    result = irec("--version")
    assert result.returncode == 0
    assert result.stdout == f"irec {__version__}\n"


@pytest.mark.parametrize(
    ("name", "message"), [("compres", "did you mean compress?"), ("zzz", "see irec --help")]
)
def test_an_unknown_command_is_one_line(name, message):
    result = irec(name, "photo.png")
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr


@pytest.mark.parametrize(
    "command", ["compress", "decompress", "inspect", "export", "evaluate", "plot"]
)
def test_missing_arguments_are_a_usage_error(command):
    result = irec(command)
    assert result.returncode == 2
    assert "Missing argument" in result.stderr


def test_lightning_commands_are_handed_over_whole(monkeypatch):
    handed = []
    monkeypatch.setitem(app_module._OTHER_PARSERS, "fit", ("", handed.append))
    app_module.main(["fit", "--config", "a.yaml", "--", "--help"])
    assert handed == [["fit", "--config", "a.yaml", "--", "--help"]]


def test_errors_of_lightning_commands_are_one_line(monkeypatch, capsys):
    from irec.errors import DataError

    def fail(arguments):
        raise DataError("photos: no such folder")

    monkeypatch.setitem(app_module._OTHER_PARSERS, "predict", ("", fail))
    with pytest.raises(SystemExit) as caught:
        app_module.main(["predict"])
    assert caught.value.code == 1
    assert capsys.readouterr().err == "irec: photos: no such folder\n"


@pytest.mark.slow
def test_a_process_compresses_and_another_decompresses(images, checkpoint, tmp_path):
    small, back = tmp_path / "small", tmp_path / "back"
    options = ("--checkpoint", checkpoint)
    result = irec("compress", images, "-o", small, "--effort", 1, *options)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    result = irec("decompress", small, "-o", back, *options)
    assert result.returncode == 0, result.stderr
    assert (back / "inner/b.png").is_file()


@pytest.mark.slow
def test_the_benchmark_is_reached():
    result = irec("benchmark", "--help")
    assert result.returncode == 0
    assert "coder" in result.stdout


@pytest.mark.slow
def test_ctrl_c_ends_in_one_line_and_whole_files(images, checkpoint, tmp_path):
    Image.new("RGB", (600, 600)).save(images / "z.png")
    arguments = ["compress", images, "-o", tmp_path / "out", "--checkpoint", checkpoint]
    process = subprocess.Popen(
        [sys.executable, "-m", "irec", *map(str, arguments), "--effort", "9"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever starts the tests may ignore Ctrl-C, and so would this process.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert "a.irec" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert len(errors.splitlines()) == 1
    assert "interrupted; " in errors
    assert {path.suffix for path in (tmp_path / "out").rglob("*") if path.is_file()} == {".irec"}


def test_help_speaks_of_options_not_of_arguments():
    from irec.commands.benchmark import app as benchmark

    commands = [*app_module.app.registered_commands, *benchmark.registered_commands]
    texts = {command.callback.__name__: command.callback.__doc__ or "" for command in commands}
    assert {"compress", "evaluate", "benchmark_coder"} <= set(texts)
    assert not [name for name, text in texts.items() if re.search(r"(Args|Returns|Raises):", text)]
