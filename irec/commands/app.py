"""The command line: which commands there are, and one line on each."""

import difflib
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from irec import __version__
from irec.commands.batch import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE
from irec.commands.compress import compress
from irec.commands.decompress import decompress
from irec.commands.evaluate import evaluate, plot
from irec.commands.export import export
from irec.commands.inspect import inspect
from irec.commands.models import models
from irec.commands.progressive import progressive
from irec.commands.report import report
from irec.errors import IrecError
from irec.terminal import say

app = typer.Typer(
    name="irec",
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

    if code := run(arguments):
        sys.exit(code)


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


def _list_in_help(name: str, summary: str) -> None:
    """Make `irec --help` show a command that :func:`main` hands over before typer sees it."""

    @app.command(name, help=summary, rich_help_panel=_RESEARCH)
    def command() -> None:
        raise AssertionError(f"main hands {name} over")


_FILES, _RESEARCH = "Files", "Models and measurements"
_COMMANDS = {
    _FILES: (compress, decompress, inspect, models),
    _RESEARCH: (export, evaluate, plot, progressive, report),
}
for _panel, _commands in _COMMANDS.items():
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)
for _name, (_summary, _) in _OTHER_PARSERS.items():
    _list_in_help(_name, _summary)

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
    try:
        if name in _OTHER_PARSERS:
            _OTHER_PARSERS[name][1](arguments)
        elif name in COMMANDS or name.startswith("-"):
            app(arguments or ["--help"], prog_name="irec")
        else:
            close = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"; did you mean {close[0]}?" if close else "; see irec --help"
            say(f"irec: there is no command {name!r}{hint}", sys.stderr)
            sys.exit(EXIT_USAGE)
    except IrecError as error:
        say(f"irec: {error}", sys.stderr)
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:
        say("irec: interrupted", sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
