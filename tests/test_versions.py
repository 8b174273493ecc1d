"""One version in every place that tells it, and every pinned version within the ranges that are declared."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement

import phaseno_peft

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_one_version_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert PROJECT["version"] == phaseno_peft.__version__ == citation["version"]
    assert PROJECT["license"] == citation["license"]


def test_what_is_declared_is_pinned_within_its_range() -> None:
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M))
    versions = {name.lower().replace("_", "-"): version for name, version in pinned.items()}
    extras = PROJECT["optional-dependencies"].values()
    declared = [*PROJECT["dependencies"], *(each for extra in extras for each in extra)]
    for requirement in map(Requirement, declared):
        name = requirement.name.lower().replace("_", "-")
        if name != PROJECT["name"]:
            assert versions[name] in requirement.specifier, f"{requirement} is pinned at {versions[name]}"


def test_hooks_before_a_commit_run_what_ci_runs() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert {hook["entry"].removeprefix(".venv/bin/") for hook in hooks} == {"ruff check", "ruff format --check", "mypy"}
    for hook in hooks:
        assert hook["entry"] in ci
