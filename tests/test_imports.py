"""Arrows run downward only: who may import whom in irec."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import irec
from irec.codec import Codec
from irec.models.registry import KINDS

PACKAGE = Path(irec.__file__).parent

# Part of irec -> the other parts that it may import; all may import the leaves.
LEAVES = {
    *("defaults", "errors", "files", "folders", "image_kinds", "images", "metadata"),
    *("progress", "terminal"),
}
BELOW_CODEC = {"bitstream", "coding", "models"}
BESIDE = {"metrics", "datamodules", "evaluation"}
MAY_IMPORT = {
    "defaults": set(),
    "errors": set(),
    "files": {"errors"},
    "folders": {"errors"},
    "images": {"errors", "folders", "image_kinds", "metadata"},
    "image_kinds": set(),
    "metadata": set(),
    "progress": set(),
    "terminal": {"errors"},
    **{part: LEAVES for part in BELOW_CODEC | BESIDE},
    "bitstream": LEAVES | {"coding"},
    "codec": LEAVES | BELOW_CODEC,
    "measuring": LEAVES | BELOW_CODEC | BESIDE | {"codec"},
    "callbacks": LEAVES | BELOW_CODEC | BESIDE | {"codec", "measuring", "lightning_modules"},
    "lightning_modules": LEAVES | BELOW_CODEC | BESIDE | {"codec", "measuring"},
    "cli": LEAVES | BELOW_CODEC | BESIDE | {"measuring", "callbacks", "lightning_modules"},
    # commands also run the Lightning command line, from the one function that hands over.
    "commands": LEAVES | BELOW_CODEC | BESIDE | {"codec", "measuring", "cli"},
    "__main__": {"commands", "cli"} | LEAVES,
    "pillow": LEAVES | {"bitstream", "codec"},
    "__init__": {"codec"},
}
WITHOUT_LIGHTNING = BELOW_CODEC | LEAVES | {"codec", "commands", "evaluation", "measuring"}


def part_of(path):
    """errors for irec/errors.py, codec for irec/codec/api.py."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(path):
    """Dotted names of all modules that a file imports, at any depth."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "irec":
                yield from (f"irec.{alias.name}" for alias in node.names)
            else:
                yield node.module


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrows_run_downward(path):
    part = part_of(path)
    for module in imported_modules(path):
        if not module.startswith("irec."):
            continue
        other = module.split(".")[1]
        if other == part or other.startswith("__"):
            continue
        assert other in MAY_IMPORT[part], f"{path.name}: {part} must not import {module}"


@pytest.mark.parametrize("part", sorted(WITHOUT_LIGHTNING))
def test_what_compresses_needs_no_lightning(part):
    files = [path for path in FILES if part_of(path) == part]
    assert files
    for path in files:
        tops = {module.split(".")[0] for module in imported_modules(path)}
        assert not tops & {"lightning", "pytorch_lightning", "torchmetrics", "wandb"}, path


def test_compressing_loads_no_lightning():
    # Every command's lazy imports, spelled out.
    code = (
        "import irec.commands.app, irec.codec, irec.codec.export, irec.commands.benchmark, "
        "irec.datamodules.image_files, sys; "
        "assert 'lightning' not in sys.modules and 'torchmetrics' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_loads_no_torch():
    code = "import irec.commands.app, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_registry_names_what_there_is():
    for kind in KINDS.values():
        assert issubclass(kind.resolve_codec(), Codec)
        assert issubclass(kind.network, kind.resolve_codec().network)


def test_names_say_what_modules_hold():
    assert not [path for path in FILES if path.stem in {"utils", "util", "helpers", "misc"}]
