"""Imports point one way, from the command line down to the contract; heavy libraries wait until they are needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "phaseno_peft"
# From the top down: a room may import rooms to its right only.
ORDER = (
    "__main__",
    "cli",
    "demo",
    "pretraining",
    "comparison",
    "training",
    "labelling",
    "live",
    "judging",
    "events",
    "checking",
    "figures",
    "report",
    "evaluation",
    "baselines",
    "archive",
    "picking",
    "library",
    "cr_lora",
    "simulation",
    "picks",
    "campaign",
    "backbone",
    "hub",
    "contract",
    "paths",
    "files",
    "schema",
    "station_ids",
    "errors",
    "lazy_names",
    "text_tables",
    "peft_import_hook",
)


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imports_of(path: Path) -> set[str]:
    """Modules of the package that a file imports: at its top, inside functions, and for type checkers alike."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {part if part in MODULES else node.module for part in parts}
    return found & set(MODULES)


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
FILES = [path for name, path in MODULES.items() if name != "phaseno_peft"]


def circle_in(arrows: dict[str, set[str]]) -> list[str]:
    """One circle of a graph as the list of its members, the first of them again at the end; empty if there is none."""
    done: set[str] = set()
    for start in sorted(arrows):
        trail: list[str] = []
        branches = [iter([start])]
        while branches:
            name = next(branches[-1], None)
            if name is None:
                branches.pop()
                if trail:
                    done.add(trail.pop())
            elif name in trail:
                return [*trail[trail.index(name) :], name]
            elif name not in done:
                trail.append(name)
                branches.append(iter(sorted(arrows[name])))
    return []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_rooms_below_it(path: Path) -> None:
    own = room(module_name(path))
    assert own in ORDER, f"{path} belongs to no room of ORDER"
    for name in imports_of(path) - {"phaseno_peft"}:
        if room(name) != own:
            assert ORDER.index(room(name)) > ORDER.index(own), f"{path}: {own} must not import {name}"


def test_no_module_imports_itself_by_way_of_others() -> None:
    circle = circle_in({name: imports_of(path) for name, path in MODULES.items()})
    assert not circle, " imports ".join(circle)


@pytest.mark.parametrize(
    ("arrows", "circle"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set(), "d": {"a", "c"}}, []),
        ({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}, []),
        ({"a": {"b"}, "b": {"c"}, "c": {"d"}, "d": {"b"}}, ["b", "c", "d", "b"]),
        ({"a": {"a"}}, ["a", "a"]),
    ],
)
def test_the_search_for_circles_finds_them(arrows: dict[str, set[str]], circle: list[str]) -> None:
    assert circle_in(arrows) == circle


def imported_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        (
            "import phaseno_peft.cli.app",
            {"pydantic", "torch", "obspy", "peft", "matplotlib", "scipy", "huggingface_hub"},
        ),
        ("from phaseno_peft.library import adapter_info; adapter_info('@')", {"torch", "huggingface_hub"}),
        ("import phaseno_peft.campaign", {"torch", "peft", "matplotlib.pyplot"}),
        ("import phaseno_peft.simulation", {"torch", "peft"}),
        ("from phaseno_peft import load_adapter", {"peft", "transformers", "seisbench", "matplotlib"}),
        ("from phaseno_peft import push_adapter, pull_adapter, load_backbone", {"huggingface_hub", "peft"}),
        ("import phaseno_peft.training, phaseno_peft.evaluation", {"seisbench", "peft"}),
        ("from phaseno_peft import pick_archive", {"distributed", "pyarrow", "pandas"}),
        ("import phaseno_peft.labelling", {"seisbench", "peft", "pyocto", "pandas", "matplotlib.pyplot"}),
    ],
)
def test_heavy_imports_wait_until_they_are_needed(statement: str, absent: set[str], request: Any) -> None:
    if "@" in statement:
        statement = statement.replace("@", str(request.getfixturevalue("tiny")))
    assert not imported_after(statement) & absent


def test_the_core_never_imports_seisbench() -> None:
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
        imported += [node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)]
        assert not [name for name in imported if name.split(".")[0] == "seisbench"], path
