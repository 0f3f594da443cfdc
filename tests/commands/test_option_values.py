"""Values that an option does not take: errors name the option, the value and what is allowed."""

import inspect
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from irec.commands.app import _OTHER_PARSERS
from irec.commands.app import app as irec
from irec.commands.batch import Kept
from irec.commands.benchmark import app as benchmark
from irec.commands.options import number, one_of

WHOLE, FLOAT = "is not a whole number", "is not a number"


def options():
    """(app, command, name of the option, its parser) of every option whose value is no text."""
    for app in (irec, benchmark):
        for command in app.registered_commands:
            if command.name in _OTHER_PARSERS:
                continue
            for name, parameter in inspect.signature(command.callback).parameters.items():
                kind, option = (
                    parameter.annotation.__args__[0],
                    parameter.annotation.__metadata__[0],
                )
                kinds = {kind, *getattr(kind, "__args__", ())} - {type(None)}
                if kinds & {str, bool, Path, list[Path]}:
                    continue
                # In an annotation typer takes the first name for a default until it looks.
                names = (option.default, *(option.param_decls or ()))
                flags = [given for given in names if str(given).startswith("--")]
                flag = flags[0] if flags else f"--{name.replace('_', '-')}"
                yield app, command.name or command.callback.__name__, flag, option.parser


def said(app, *arguments):
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 2, result.output
    return " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("app", "command", "flag", "parser"), [pytest.param(*o, id=f"{o[1]} {o[2]}") for o in options()]
)
def test_every_option_names_a_value_that_it_does_not_take(app, command, flag, parser):
    assert parser is not None, "options.number and options.one_of say what was given"
    text = said(app, command, f"{flag}=-7.5x")
    assert f"'{flag}'" in text
    assert "'-7.5x' is not " in text


@pytest.mark.parametrize(
    ("command", "flag", "value", "allowed"),
    [
        ("compress", "--effort", "10", f"{WHOLE} from 1 to 9"),
        ("compress", "--effort", "1.5", f"{WHOLE} from 1 to 9"),
        ("compress", "--quality", "101", f"{FLOAT} from 0 to 100"),
        ("compress", "--quality", "nan", f"{FLOAT} from 0 to 100"),
        ("compress", "--target-bpp", "0", f"{FLOAT} above 0"),
        ("compress", "--target-psnr", "inf", f"{FLOAT} above 0"),
        ("compress", "--jobs", "0", f"{WHOLE}, 1 or more"),
        ("compress", "--jobs", "", f"{WHOLE}, 1 or more"),
        ("decompress", "--max-pixels", "1e6", f"{WHOLE}, 1 or more"),
        ("decompress", "--device", "tpu", "is not one of cpu, cuda"),
        ("decompress", "--metadata", "All", "is not one of all, icc, none"),
        ("evaluate", "--max-images", "0", f"{WHOLE}, 1 or more"),
        ("progressive", "--points", "1", f"{WHOLE}, 2 or more"),
        ("report", "--pictures", "-1", f"{WHOLE}, 0 or more"),
    ],
)
def test_what_is_allowed_is_said(command, flag, value, allowed):
    text = said(irec, command, f"{flag}={value}")
    assert f"'{flag}'" in text
    assert f"{value!r} {allowed}" in text


def test_a_comparison_of_no_codecs_is_refused(tmp_path):
    text = said(irec, "evaluate", str(tmp_path), "--codecs", " ,", "-o", str(tmp_path / "out"))
    assert "--codecs ' ,' names none" in text
    assert not (tmp_path / "out").exists()


@given(st.floats(), st.floats(-1e3, 1e3), st.floats(0, 1e3))
def test_numbers_in_the_range_and_no_others_are_taken(value, low, width):
    for parser, is_in in (
        (number(float, low, low + width), low <= value <= low + width),
        (number(float, low, above=True), low < value < float("inf")),
    ):
        if is_in:
            assert parser(str(value)) == value
        else:
            with pytest.raises(typer.BadParameter, match="is not a number"):
                parser(str(value))


def test_a_name_is_taken_as_it_is():
    assert [one_of(Kept)(name) for name in ("all", "icc", "none")] == ["all", "icc", "none"]
