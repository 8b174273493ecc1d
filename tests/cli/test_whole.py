"""The command line as a whole: each command is explained, spelled like the others, quick to start, kind to mistakes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from phaseno_peft.cli.app import app


def commands(tree: Any = None, words: tuple[str, ...] = ()) -> list[tuple[str, Any]]:
    """(words, command) of every command, those of groups included."""
    tree = typer.main.get_command(app) if tree is None else tree
    if hasattr(tree, "commands"):
        return [found for name, inner in tree.commands.items() for found in commands(inner, (*words, name))]
    return [(" ".join(words), tree)]


COMMANDS = commands()


@pytest.mark.parametrize(("words", "command"), COMMANDS, ids=[words for words, _ in COMMANDS])
def test_every_command_shows_an_example_of_itself_that_parses(words: str, command: Any) -> None:
    examples = re.findall(r"^Example: phaseno-peft (.+)$", command.help or "", re.M)
    assert len(examples) == 1
    assert examples[0].startswith(words)
    arguments = examples[0].removeprefix(words).split()
    command.make_context(words, arguments).close()  # raises where an option or an argument is not there


@pytest.mark.parametrize(("words", "command"), COMMANDS, ids=[words for words, _ in COMMANDS])
def test_every_option_and_argument_is_explained(words: str, command: Any) -> None:
    for parameter in command.params:
        if parameter.name != "help":
            assert getattr(parameter, "help", None), f"{words}: {parameter.name}"


def test_options_are_spelled_alike_and_one_is_not_a_flag_here_and_a_value_there() -> None:
    kinds: dict[str, set[bool]] = {}
    for _, command in COMMANDS:
        for parameter in command.params:
            for spelling in parameter.opts:
                if spelling.startswith("--"):
                    assert re.fullmatch(r"--[a-z]+(-[a-z0-9]+)*", spelling), spelling
                    kinds.setdefault(spelling, set()).add(bool(getattr(parameter, "is_flag", False)))
    assert {spelling: found for spelling, found in kinds.items() if len(found) > 1} == {}
    assert {"--json", "--overwrite", "--quiet", "--backbone", "--repo", "--tag", "--out"} <= set(kinds)


def test_commands_that_answer_with_facts_have_json() -> None:
    without = {words for words, command in COMMANDS if not any("--json" in p.opts for p in command.params)}
    # These make a file or a folder and say where it is, in one line.
    made_files = {"demo", "simulate", "channels", "adapters blend", "adapters remove", "backbone convert"}
    always_lines_of_json = {"watch"}
    assert without == made_files | always_lines_of_json | {"backbone fetch"}


def test_help_imports_nothing_heavy() -> None:
    """What makes it start at once: no library that takes longer than the help itself (0.35 s in all when measured)."""
    code = "import sys; sys.argv = ['phaseno-peft', '--help']; from phaseno_peft.cli.app import main\ntry: main()\n"
    code += "except SystemExit: pass\nprint('imported:', *sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "train-adapter" in done.stdout
    imported = set(done.stdout.rsplit("imported:", 1)[1].split())
    heavy = {"torch", "peft", "transformers", "obspy", "scipy", "numpy", "matplotlib", "huggingface_hub", "safetensors"}
    assert "phaseno_peft" in imported
    assert imported & heavy == set()


def test_the_shell_completes_commands_and_adapters(home: Path) -> None:
    environment = {
        **os.environ,
        "_PHASENO_PEFT_COMPLETE": "complete_bash",
        "COMP_WORDS": "phaseno-peft adapters show tin",
        "COMP_CWORD": "3",
    }
    code = "import sys; sys.argv = ['phaseno-peft']; from phaseno_peft.cli.app import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.split() == ["tiny-ohio"]


def test_a_reader_that_leaves_and_a_path_without_rights_give_no_traceback(tmp_path: Path) -> None:
    command = f"{sys.executable} -m phaseno_peft"
    environment = {**os.environ, "PHASENO_PEFT_HOME": str(tmp_path)}
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} backbone info --json | true"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.stderr == ""
    (tmp_path / "taken").write_text("")
    done = subprocess.run(
        ["bash", "-c", f"{command} simulate ohio-frac --events 1 --out {tmp_path / 'taken' / 'inside'}"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("error:") == 1
    assert "Traceback" not in done.stderr
