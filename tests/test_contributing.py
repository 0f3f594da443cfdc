"""CONTRIBUTING's walks through the code name what there is."""

import ast
import re
from pathlib import Path

import irec

ROOT = Path(irec.__file__).parent.parent


def defined_names():
    """Classes, functions, methods and module constants of the package."""
    names = set()
    for path in (ROOT / "irec").rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                names.add(node.name)
            if isinstance(node, ast.ClassDef):
                names |= {
                    f"{node.name}.{one.name}"
                    for one in node.body
                    if isinstance(one, ast.FunctionDef)
                }
        for node in tree.body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            if isinstance(node, ast.AnnAssign):
                targets = [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def test_every_name_of_the_walks_exists():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    walks = text[text.index("**One image**") : text.index("## Words")]
    named = set(re.findall(r"`([A-Za-z_.]+)`", walks))
    assert len(named) > 30
    assert not named - defined_names()


def test_every_place_that_is_named_exists():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for name in re.findall(r"`([\w/]+(?:/|\.py|\.md))`", text):
        assert any((base / name).exists() for base in (ROOT, ROOT / "irec")), name
