"""`push`, `pull`, `adapters` and `backbone push` as a user types them, against the stand-in Hub."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from phaseno_peft.cli.app import main
from phaseno_peft.library import library_folder, list_adapters
from tests.library.machines import Machine
from tests.library.standin_hub import StandInHub

REPO = "lab/phaseno-tiny-ohio"


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`phaseno-peft` in this process."""

    def run(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["phaseno-peft", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        return Done(int(stopped.value.code or 0), out, err)

    return run


def test_a_newcomer_pushes_and_a_second_machine_pulls(run: Run, hub: StandInHub, machine: Machine, tiny: Path) -> None:
    machine.own(tiny, "tiny-ohio")
    assert "tiny-ohio" in run("adapters", "list").out
    done = run("push", "tiny-ohio", "--repo", REPO, "--public", "--tag", "v1", "--json")
    assert done.code == 0, done.err
    commit = done.json["commit"]
    assert hub.repositories[REPO].tags == {"v1": commit}
    assert "the Hub has this already" in run("push", "tiny-ohio", "--repo", REPO, "--public", "--tag", "v1").out

    machine.use("second", token=None)
    assert run("adapters", "list", "--json").json == []
    assert "Train one with" in run("adapters", "list").out
    assert run("adapters", "list", "--remote", "lab", "--json").json == [REPO]
    assert run("adapters", "versions", REPO, "--json").json[0] == {"version": "v1", "kind": "tag", "commit": commit}
    done = run("pull", f"{REPO}@v1")
    assert done.code == 0, done.err
    assert f'load_adapter("{REPO}@{commit}")' in done.out
    (row,) = run("adapters", "list", "--json").json
    assert (row["name"], row["where"], row["labels"]) == ("tiny-ohio", f"{REPO}@v1", "simulated")
    assert "backbone_fingerprint" in run("adapters", "show", "tiny-ohio").out
    assert "# tiny-ohio" in run("adapters", "show", "tiny-ohio", "--card").out
    assert "v1" in run("adapters", "versions", "tiny-ohio").out
    assert run("adapters", "verify").out == "tiny-ohio: whole\n"

    done = run("adapters", "remove", "tiny-ohio")  # no terminal to ask on
    assert (done.code, list_adapters()) == (2, ["tiny-ohio"])
    assert "--yes" in done.err
    assert run("adapters", "remove", "tiny-ohio", "--yes").code == 0
    assert list(library_folder().iterdir()) == []


def test_verify_finds_what_was_altered_and_list_still_lists(run: Run, machine: Machine, tiny: Path) -> None:
    good, bad = machine.own(tiny, "good-one"), machine.own(tiny, "bad-one")
    config = bad / "adapter_config.json"
    config.write_text(config.read_text().replace('"seed": 0', '"seed": 9'))
    done = run("adapters", "verify")
    assert done.code == 2
    assert "bad-one: did not pass" in done.out
    assert "adapter_config.json: the SHA-256 is" in done.out
    assert "good-one: whole" in done.out
    assert "1 of 2 adapters did not pass: bad-one" in done.err
    assert run("adapters", "verify", "good-one", "--json").json == [
        {"name": "good-one", "folder": str(good), "problems": []}
    ]
    config.write_text("{")
    rows = {row["name"]: row["where"] for row in run("adapters", "list", "--json").json}
    assert rows == {"bad-one": "damaged", "good-one": "library"}


def test_control_characters_of_a_card_do_not_reach_the_terminal(run: Run, machine: Machine, tiny: Path) -> None:
    folder = machine.own(tiny, "tiny-ohio")
    (folder / "README.md").write_text("[red]\x1b[2J\x1b]0;owned\x07 a card\n")
    done = run("adapters", "show", "tiny-ohio", "--card")
    assert done.out == "[red]\\x1b[2J\\x1b]0;owned a card\n\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("push", "tiny-ohoi", "--repo", REPO), "Nearest: tiny-ohio"),
        (("push", "tiny-ohio", "--repo", "no-organisation"), "Write it as organisation/name"),
        (("push", "tiny-ohio", "--repo", "lab/a--b"), "not a name that the Hub allows"),
        (("push", "tiny-ohio", "--repo", REPO, "--tag", "v 1"), "tag 'v 1': use letters"),
        (("push", "tiny-ohio", "--repo", "somebody/else"), "refuses this to the token in use"),
        (("pull", "lab/nothing"), "shows no such repository"),
        (("pull", "tiny-ohio"), "Write organisation/name, or set $PHASENO_PEFT_HUB_ORG"),
        (("adapters", "versions", "tiny-ohio"), "neither pulled from the Hub nor pushed there"),
        (("adapters", "show", "lab/nothing"), "shows no such repository"),
        (("adapters", "remove", "../adapters/tiny-ohio", "--yes"), "is not a name"),
        (("adapters", "remove", "nothing-here", "--yes"), "no adapter 'nothing-here'"),
        (("adapters", "verify", "nothing-here"), "no adapter 'nothing-here'"),
        (("backbone", "push", "nothing", "--repo", "lab/b"), "backbone 'nothing'"),
        (("backbone", "info", "lab/nothing"), "shows no such repository"),
    ],
)
def test_a_mistake_in_sharing_is_one_sentence_and_exit_code_2(
    run: Run, hub: StandInHub, machine: Machine, tiny: Path, words: tuple[str, ...], message: str
) -> None:
    machine.own(tiny, "tiny-ohio")
    done = run(*words)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("error:") == 1
    assert hub.repositories == {}
    assert list_adapters() == ["tiny-ohio"]


def test_a_backbone_travels_too(run: Run, hub: StandInHub, machine: Machine, tiny: Path, small_backbone: Path) -> None:
    done = run("backbone", "push", small_backbone, "--repo", "lab/backbone", "--public", "--tag", "v1", "--json")
    assert done.code == 0, done.err
    machine.use("second", token=None)
    facts = run("backbone", "info", "lab/backbone@v1", "--json").json
    assert facts["name"] == "small-backbone"
    assert Path(facts["folder"]).name == done.json["commit"]
