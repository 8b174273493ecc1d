"""The names at the top of the package: all there, completed by the shell, and the command line's words."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
import typer

import phaseno_peft
from phaseno_peft.cli.app import app
from phaseno_peft.contract import EDGE_LIMIT_KM

COMMANDS = {
    "demo": "run_demo",
    "channels": "write_channel_map",
    "check": "check",
    "train-adapter": "train_adapter",
    "compare": "compare",
    "evaluate": "evaluate",
    "score": "score_picks",
    "pick": "load_adapter",  # and then `classify`
    "associate": "associate",
    "watch": "watch",
    "pseudo-label": "pseudo_label",
    "suggest-labels": "suggest_labels",
    "export-dataset": "export_dataset",
    "simulate": "simulate_campaign",
    "pretrain": "pretrain",
    "push": "push_adapter",
    "pull": "pull_adapter",
    "adapters list": "list_adapters",
    "adapters show": "adapter_info",
    "adapters versions": "list_versions",
    "adapters remove": "remove_adapter",
    "adapters verify": "verify_adapters",
    "adapters blend": "blend_adapters",
    "adapters suggest": "suggest_adapters",
    "backbone list": "list_backbones",
    "backbone info": "backbone_info",
    "backbone convert": "convert_checkpoint",
    "backbone fetch": "fetch_backbone",
    "backbone push": "push_backbone",
}
OF_THE_TERMINAL = {"as_json", "quiet", "dry_run", "yes"}
OF_THE_CAMPAIGN = {
    "waveforms",
    "stations",
    "picks",
    "time_scale",
    "edge_limit_km",
    "skip_unknown",
    "channels",
    "complete",
    "noise",
    "picks_on",
    "more",
}
"""What `Campaign.read` takes."""
OTHER_WORDS = {
    "watch": {"frozen": "adapter"},
    "associate": {
        "out": "folder",
        "fewest_picks": "rule",
        "fewest_p": "rule",
        "fewest_s": "rule",
        "fewest_p_and_s": "rule",
        "tolerance_s": "rule",
        "reach_km": "rule",
        "deepest_km": "rule",
    },
    "train-adapter": {
        "out": "folder",
        "epochs": "training",
        "max_minutes": "training",
        "replay": "training",
        "rounds": "unlabelled",
        "skip_unreadable": "unlabelled",
        "associator": "unlabelled",
    },
    "compare": {"out": "folder"},
    "evaluate": {"name": "adapter"},
    "demo": {"out": "folder"},
    "export-dataset": {"out": "folder"},
    "simulate": {"out": "folder", "noise": "own_noise", "picked_on": "label_convention"},
    "pretrain": {"archive": "archives", "stem_teacher": "stem_teachers"},
    "push": {"name": "name_or_path"},
    "adapters show": {"name": "name_or_path", "card": "name_or_path"},  # the card lies in the folder that it tells
    "adapters suggest": {"backbone": "picker", "names": "adapters"},
    "backbone info": {"name": "name_or_path"},
    "backbone push": {"name": "name_or_path"},
    "backbone convert": {"out": "folder", "checkpoint": "path"},
}
"""Options of a command -> the parameters of the function where these have other names."""


def commands() -> dict[str, object]:
    found: dict[str, object] = {}

    def collect(group: typer.Typer, before: str) -> None:
        for command in group.registered_commands:
            found[f"{before}{command.name}"] = command.callback
        for inner in group.registered_groups:
            collect(inner.typer_instance, f"{inner.name} ")

    collect(app, "")
    return found


def test_every_command_has_a_function_at_the_top_of_the_package() -> None:
    assert set(commands()) == set(COMMANDS)
    assert set(COMMANDS.values()) <= set(phaseno_peft.__all__)


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"pick", "pseudo-label", "suggest-labels", "pretrain"}))
def test_the_options_of_a_command_are_the_parameters_of_its_function(command: str) -> None:
    function = getattr(phaseno_peft, COMMANDS[command])
    parameters = set(inspect.signature(function).parameters)
    options = set(inspect.signature(commands()[command]).parameters) - OF_THE_TERMINAL
    if "campaign" in parameters:
        options -= OF_THE_CAMPAIGN
    other = OTHER_WORDS.get(command, {})
    for option in options:
        assert other.get(option, option) in parameters, f"{command}: {option}, {COMMANDS[command]}{sorted(parameters)}"


def test_commands_limit_edges_as_the_library_does() -> None:
    for command in ("train-adapter", "compare"):
        assert inspect.signature(commands()[command]).parameters["edge_limit_km"].default == EDGE_LIMIT_KM


@pytest.mark.parametrize("name", phaseno_peft.__all__)
def test_a_public_name_is_there_and_says_what_it_is(name: str) -> None:
    value = getattr(phaseno_peft, name)
    assert value.__name__ == name
    assert value.__doc__


def test_names_are_completed_and_nothing_is_imported_for_them() -> None:
    code = (
        "import sys, phaseno_peft\n"
        "assert set(phaseno_peft.__all__) <= set(dir(phaseno_peft)) and '__version__' in dir(phaseno_peft)\n"
        "assert not hasattr(phaseno_peft, 'nothing')\n"
        "assert not {'TYPE_CHECKING', 'lazy_names', 'register_with_peft'} & set(dir(phaseno_peft))\n"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('torch', 'numpy', 'obspy', 'peft', 'pydantic')))\n"
        "from phaseno_peft import cr_lora, picking, evaluation\n"
        "for package in (cr_lora, picking, evaluation):\n"
        "    assert set(package.__all__) <= set(dir(package)), package\n"
        "from phaseno_peft.cr_lora import CRLoraModel\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_a_name_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(AttributeError, match="module 'phaseno_peft' has no attribute 'train_adaptor'"):
        _ = phaseno_peft.train_adaptor
