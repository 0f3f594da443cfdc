"""README's examples are run as they stand; what the pages name is there."""

import re
from pathlib import Path

import numpy as np
import pytest

from irec.commands.app import COMMANDS
from tests.pictures import picture

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "checkpoints").rglob("*.md")),
]


def blocks(language, text=README):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_functions_give_the_pixels_back():
    (code,) = (block for block in blocks("python") if "irec.compress(" in block)
    names = {"image": picture(16, 24, 3)}
    exec(code, names)
    assert isinstance(names["data"], bytes)
    np.testing.assert_array_equal(names["pixels"], names["image"])


def test_pillow_opens_and_saves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = (block for block in blocks("python") if "irec.pillow" in block)
    names = {"image": picture(16, 24, 3)}
    exec(code, names)
    np.testing.assert_array_equal(np.asarray(names["photo"]), names["image"])


def test_the_coder_gives_a_sample():
    (code,) = (block for block in blocks("python") if "irec.coding" in block)
    names = {}
    exec(code, names)
    assert names["z"].shape == (1000,)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_shell_examples_name_commands_and_files_that_exist(page):
    for block in blocks("sh", page.read_text()):
        for command in re.findall(r"(?:^|-m |srun )irec (\w+)", block, re.MULTILINE):
            assert command in COMMANDS
        for config in re.findall(r"lightning_configs/[\w/.]+", block):
            assert (ROOT / config).is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_paths_lead_somewhere(page):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target
    for path in re.findall(r"`((?:irec|tests|docs|lightning_configs)/[\w/.]+\.\w+)`", text):
        assert (ROOT / path).exists(), path
