"""The command line: which commands there are, and one line on each."""

import difflib
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from irec import __version__
from irec.commands.batch import as_function
from irec.commands.compress import Compress
from irec.commands.decompress import Decompress
from irec.commands.endings import Commands, UsageError, one_line_errors
from irec.commands.evaluate import evaluate, plot
from irec.commands.inspect import inspect
from irec.commands.models import export, models
from irec.commands.progressive import progressive
from irec.commands.report import report

app = typer.Typer(
    name="irec",
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    # Joins the lines of a docstring's paragraphs.
    rich_markup_mode="markdown",
    help="Single-image compression with variational autoencoders and relative entropy coding.",
)


def _print_version(is_asked: bool) -> bool:
    if is_asked:
        typer.echo(f"irec {__version__}")
        raise typer.Exit
    return is_asked


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Options that belong to no command."""


def _run_lightning(arguments: list[str]) -> None:
    from irec.cli import main as run

    sys.exit(run(arguments))


def _run_benchmark(arguments: list[str]) -> None:
    from irec.commands.benchmark import app as benchmark

    benchmark(arguments[1:], prog_name="irec benchmark")


# Commands with parsers of their own, which take seconds to import.
_OTHER_PARSERS: dict[str, tuple[str, Callable[[list[str]], None]]] = {
    "fit": ("Train a model; see lightning_configs.", _run_lightning),
    "validate": ("Measure bits per dimension on the validation images.", _run_lightning),
    "test": ("Measure bits per dimension on the test images.", _run_lightning),
    "predict": ("Compress a data set, by default the bundled photographs.", _run_lightning),
    "benchmark": ("Measure parts of irec by themselves.", _run_benchmark),
}


def _handed_over() -> None:
    raise AssertionError("main hands these over, typer lists them in its help")


_FILES, _RESEARCH = "Files", "Models and measurements"
_COMMANDS = {
    _FILES: (as_function(Compress), as_function(Decompress), inspect, models),
    _RESEARCH: (export, evaluate, plot, progressive, report),
}
for _panel, _commands in _COMMANDS.items():
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)
for _name, (_summary, _) in _OTHER_PARSERS.items():
    app.command(_name, help=_summary, rich_help_panel=_RESEARCH)(_handed_over)

COMMANDS = [
    *(command.__name__ for commands in _COMMANDS.values() for command in commands),
    *_OTHER_PARSERS,
]


def main(arguments: list[str]) -> None:
    """Run the command that `arguments` name; ends in SystemExit where there is an exit code.

    Args:
        arguments: What follows ``irec`` on the command line.
    """
    name = arguments[0] if arguments else "--help"
    with one_line_errors():
        if name in _OTHER_PARSERS:
            _OTHER_PARSERS[name][1](arguments)
        elif name in COMMANDS or name.startswith("-"):
            app(arguments or ["--help"], prog_name="irec")
        else:
            close = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"; did you mean {close[0]}?" if close else "; see irec --help"
            raise UsageError(f"there is no command {name!r}{hint}")
