import io

import pytest
from rich.table import Table

from irec.terminal import say, show_table


def table(name):
    made = Table("image", *(f"column {index}" for index in range(9)))
    made.add_row(name, *(f"0.1234{index}" for index in range(9)))
    return made


def test_names_in_tables_are_literal(capsys):
    show_table(table("x[/red] [bold]z[v2] :smile:.png"))
    assert "x[/red] [bold]z[v2] :smile:.png" in capsys.readouterr().out


def test_a_narrow_terminal_cuts_nothing(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    show_table(table("a.png"))
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert len(printed.splitlines()[0]) <= 40


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_what_an_encoding_lacks_is_escaped(encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    say("caf\udce9 \u2603", stream)
    written = stream.buffer.getvalue().decode(encoding)
    assert written.startswith("caf\\udce9 ")
    assert written.rstrip() in ("caf\\udce9 \\u2603", "caf\\udce9 \u2603")


def test_no_stream_at_all(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    say("nobody hears this")
    show_table(table("a.png"))
