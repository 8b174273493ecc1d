"""The command line as a user meets it: in its own process, with exit codes, and errors in one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from obspy import read_events

from phaseno_peft.picking import PickList


def run(*words: object, home: Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "phaseno_peft", *map(str, words)]
    environment = {**os.environ, "PHASENO_PEFT_HOME": str(home), "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd, check=False)


def inputs(folder: Path, **changed: object) -> list[object]:
    files = {"waveforms": folder / "waveforms", "stations": folder / "stations.xml", "picks": folder / "picks.xml"}
    return [word for name, value in (files | changed).items() for word in (f"--{name}", value)]


def test_help_lists_the_commands(tmp_path: Path) -> None:
    done = run("--help", home=tmp_path)
    assert done.returncode == 0
    for command in ("demo", "train-adapter", "evaluate", "pick", "simulate", "push", "pull", "adapters", "backbone"):
        assert command in done.stdout


def test_train_evaluate_and_pick_on_a_campaigns_files(
    tmp_path: Path, campaign_folder: Path, small_backbone: Path
) -> None:
    files = inputs(campaign_folder)
    with_backbone = ["--backbone", small_backbone]
    done = run(
        "train-adapter", "ohio-frac", *files, *with_backbone, "--epochs", 1, "--folds", 0, "--json", home=tmp_path
    )
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    folder = Path(made["folder"])
    assert folder == tmp_path / "adapters" / "ohio-frac"
    assert set(made["scores"]) == {"frozen", "frozen, offset removed", "adapter"}
    assert {p.name for p in folder.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "README.md",
        "evaluation.json",
        "card.json",
        "manifest.json",
        "figures",
    }

    done = run("evaluate", "ohio-frac", *files, *with_backbone, "--json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    again = json.loads(done.stdout)
    assert "held-out test events of the adapter's own campaign" in again["events"]
    for model in ("frozen", "adapter"):
        assert again["scores"][model] == made["scores"][model]  # the same windows, thresholds and picks

    continuous = campaign_folder / "continuous"
    for name in ("picks.csv", "picks.xml"):
        done = run(
            "pick", continuous, "--stations", campaign_folder / "stations.xml", "--out", tmp_path / name,
            "--adapter", "ohio-frac", *with_backbone, "--p-threshold", 0.01, "--s-threshold", 0.01, home=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    picks = PickList.from_csv(tmp_path / "picks.csv")
    assert len(picks) > 0
    assert sum(len(event.picks) for event in read_events(tmp_path / "picks.xml")) == len(picks)

    done = run("adapters", "show", "ohio-frac", home=tmp_path)
    assert done.returncode == 0
    assert "backbone_fingerprint" in done.stdout
    assert "ohio-frac" in run("adapters", "list", home=tmp_path).stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train-adapter", "Ohio Frac", "@"], "adapter name 'Ohio Frac' is not a name"),
        (["train-adapter", "tiny-ohio", "@"], "exists already"),
        (["train-adapter", "new-one", "@stations=nowhere.xml"], "nowhere.xml"),
        (["train-adapter", "new-one", "@waveforms=nowhere"], "nowhere"),
        (["train-adapter", "new-one", "@", "--backbone", "nowhere"], "backbone 'nowhere'"),
        (["evaluate", "tiny-ohoi", "@"], "Nearest: tiny-ohio"),
        (["pick", "nowhere", "--stations", "stations.xml", "--out", "x.csv"], "--adapter NAME, or --frozen"),
        (["pick", "nowhere", "--stations", "stations.xml", "--frozen", "--out", "x.doc"], "unknown ending '.doc'"),
        (["pick", "nowhere", "--stations", "stations.xml", "--frozen", "--out", "no/x.csv"], "does not exist"),
        (["adapters", "show", "../etc"], "no adapter '../etc'"),
        (["backbone", "info", "nothing"], "backbone 'nothing'"),
        (["simulate", "texas", "--out", "somewhere"], "ohio-frac"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    words: list[str], message: str, home: Path, campaign_folder: Path, tmp_path: Path
) -> None:
    filled: list[object] = []
    for word in words:
        if word.startswith("@"):
            changed = dict([word[1:].split("=")]) if "=" in word else {}
            filled += inputs(campaign_folder, **changed)
        else:
            filled.append(word)
    before = sorted(home.rglob("*"))
    done = run(*filled, home=home, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error:") == 1
    assert sorted(home.rglob("*")) == before
    assert not list(tmp_path.iterdir())


def test_picks_of_an_unknown_station_name_the_pick_the_file_and_the_way_out(
    home: Path, campaign_folder: Path, tmp_path: Path
) -> None:
    stations = tmp_path / "stations.csv"
    from phaseno_peft.campaign import read_stations

    rows = [
        f"{s.station_id.split('.')[0]},{s.station_id.split('.')[1]},{s.latitude_deg},{s.longitude_deg}"
        for s in list(read_stations(campaign_folder / "stations.xml"))[1:]
    ]
    stations.write_text("network,station,latitude,longitude\n" + "\n".join(rows) + "\n")
    done = run("train-adapter", "new-one", *inputs(campaign_folder, stations=stations), home=home)
    assert done.returncode == 2
    for part in ("picks.xml", "pick ", "stations.csv", "--skip-unknown"):
        assert part in done.stderr


@pytest.mark.parametrize(
    ("option", "value"), [("--rounds", "2"), ("--associator", "pyocto"), ("--skip-unreadable", None)]
)
def test_options_of_an_archive_are_refused_without_one(
    tmp_path: Path, campaign_folder: Path, option: str, value: str | None
) -> None:
    words = [option] if value is None else [option, value]
    done = run("train-adapter", "ohio-frac", *inputs(campaign_folder), *words, home=tmp_path)
    assert done.returncode == 2
    assert f"{option} says how --unlabelled is used, which is not given" in done.stderr
