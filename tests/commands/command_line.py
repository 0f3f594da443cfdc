"""The command line in this process, and what tests ask of what it says and writes."""

from typer.testing import CliRunner

from irec.commands.app import app


def irec(*arguments, **options):
    """Run a command -> result with exit_code, stdout, stderr."""
    return CliRunner().invoke(app, [*map(str, arguments)], **options)


def assert_one_line(text):
    assert len(text.strip().splitlines()) == 1, text


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
