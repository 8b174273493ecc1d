"""From records to QuakeML to an adapter whose card says that its labels are automatic, and round again."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from obspy import UTCDateTime, read_events

from phaseno_peft.campaign import Campaign, read_catalogue, read_stations, read_waveforms
from phaseno_peft.errors import CampaignError, PhasenoPeftError
from phaseno_peft.events.catalogue import to_catalog, write_catalog
from phaseno_peft.labelling import PseudoLabels, coincide, load_teacher, pseudo_label
from phaseno_peft.picking import load_adapter
from phaseno_peft.picks import Pick
from phaseno_peft.training import TrainingSettings, train_adapter
from phaseno_peft.training.provenance import source_of_labels
from tests.cli.test_commands import run
from tests.labelling.test_coincidence import event, pick, table


@pytest.fixture(scope="module")
def labelled(campaign_folder: Path) -> PseudoLabels:
    """The simulated campaign labelled by STA/LTA."""
    stations = read_stations(campaign_folder / "stations.xml")
    return pseudo_label(read_waveforms(campaign_folder / "waveforms"), stations, load_teacher("stalta"))


@pytest.fixture(scope="module")
def catalogue(labelled: PseudoLabels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_catalog(tmp_path_factory.mktemp("pseudo") / "picks.xml", labelled.to_catalog())


def test_the_file_names_the_teacher_and_marks_its_picks_as_automatic(tmp_path: Path) -> None:
    rival = pick("E", "P", 56.0, 0.1)
    picks = [p for p in event(50.0) if (p.trace_id[3], p.phase) != ("E", "S")]
    events = coincide([*picks, rival, *event(150.0, codes="A")], table())
    assert [len(e.ambiguous) for e in events] == [1, 0]
    path = write_catalog(tmp_path / "a.xml", to_catalog(events, "STA/LTA + AIC", "coincidence"))
    read = read_events(str(path))
    assert len(read) == 2
    for made, back in zip(events, read, strict=True):
        assert {p.evaluation_mode for p in back.picks} == {"automatic"}
        assert {str(p.method_id.id) for p in back.picks} == {"smi:local/phaseno-peft/STA/LTA---AIC"}
        assert "STA/LTA + AIC" in back.comments[0].text
        rejected = [p for p in back.picks if p.evaluation_status == "rejected"]
        assert len(rejected) == len(made.ambiguous)
        origin = back.preferred_origin()
        assert origin.evaluation_mode == "automatic"
        assert {a.pick_id.id for a in origin.arrivals} == {
            p.resource_id.id for p in back.picks if p.evaluation_status != "rejected"
        }
        assert len(origin.arrivals) == len(made.picks)
        assert abs(origin.time - made.origin_time) < 1e-5
    again = write_catalog(tmp_path / "b.xml", to_catalog(events, "STA/LTA + AIC", "coincidence"))
    assert again.read_bytes() == path.read_bytes()
    ours = read_catalogue(path)
    assert sorted((p.station_id, p.phase, p.time) for p in ours.picks if p.usable) == sorted(
        (p.trace_id, p.phase, UTCDateTime(ns=round(p.time.ns, -3))) for e in events for p in e.picks
    )
    assert all(p.is_automatic and p.method.endswith("STA/LTA---AIC") for p in ours.picks)


def test_events_of_one_moment_have_ids_of_their_own(tmp_path: Path) -> None:
    a, b = (dataclasses.replace(p, trace_id=f"XX.{c}.") for c in "AB" for p in [pick("A", "P", 10.0)])
    made = [coincide([p, dataclasses.replace(p, phase="S", time=p.time + 1.0)], table())[0] for p in (a, b)]
    path = write_catalog(tmp_path / "a.xml", to_catalog(made, "stalta", "coincidence"))
    assert len(read_catalogue(path).events) == 2  # an id given twice would be refused


def truth(folder: Path) -> dict[tuple[str, str], list[float]]:
    import csv

    arrivals: dict[tuple[str, str], list[float]] = {}
    with (folder / "truth.csv").open() as file:
        for row in csv.DictReader(file):
            key = (row["station"], row["phase"])
            arrivals.setdefault(key, []).append(UTCDateTime(row["onset_time"]).timestamp)
    return arrivals


def share_right(picks: list[Pick], arrivals: dict[tuple[str, str], list[float]]) -> float:
    near = [
        min((abs(p.time.timestamp - t) for t in arrivals.get((p.trace_id, p.phase), [])), default=np.inf) for p in picks
    ]
    return float(np.mean(np.array(near) <= 0.5))


def test_labels_are_right_more_often_than_the_teachers_picks(labelled: PseudoLabels, campaign_folder: Path) -> None:
    arrivals = truth(campaign_folder)
    labels = [p for e in labelled.events for p in e.picks]
    counts = labelled.counts
    assert counts["labels"] == len(labels) == sum(labelled.labels.values())
    assert sum(counts.values()) == len(labelled.picks)
    assert min(counts["alone"], counts["labels"]) > 0
    assert share_right(labels, arrivals) > share_right(list(labelled.picks), arrivals)
    moved = {key: [t + 3.0 for t in values] for key, values in arrivals.items()}
    assert share_right(labels, moved) < 0.5 * share_right(labels, arrivals)  # control: a wrong truth


def test_a_stream_without_an_event_is_refused_with_what_was_found(campaign_folder: Path) -> None:
    stations = read_stations(campaign_folder / "stations.xml")
    streams = read_waveforms(campaign_folder / "waveforms")
    first = dict(list(streams.items())[:1])
    with pytest.raises(PhasenoPeftError, match=r"made 0 P and 0 S picks, and no event of them.*--p-threshold"):
        pseudo_label(first, stations, load_teacher("stalta", P_threshold=1.0, S_threshold=1.0))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "stalta", "adapter": "x"}, "adapter 'x' goes onto a PhaseNO backbone, not onto stalta"),
        ({"name": "nowhere"}, "nowhere"),
        ({"name": "stalta", "phasenet_weights": "w.safetensors"}, "phasenet is not among stalta"),
        ({"name": "nowhere", "phasenet_weights": "w"}, "the teacher is 'nowhere'"),
    ],
)
def test_teachers_that_are_not_there_or_do_not_go_together(arguments: dict[str, str], words: str) -> None:
    with pytest.raises(PhasenoPeftError, match=words):
        load_teacher(**arguments)  # type: ignore[arg-type]


def test_without_pyocto_the_extra_is_named(campaign_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyocto", None)
    stations = read_stations(campaign_folder / "stations.xml")
    streams = read_waveforms(campaign_folder / "waveforms")
    with pytest.raises(PhasenoPeftError, match=r"pip install 'phaseno-peft\[associate\]'"):
        pseudo_label(dict(list(streams.items())[:1]), stations, load_teacher("stalta"), associator="pyocto")


def test_the_command_labels_and_says_what_it_kept(
    labelled: PseudoLabels, campaign_folder: Path, tmp_path: Path
) -> None:
    picks, stations = tmp_path / "picks.xml", campaign_folder / "stations.xml"
    words = (
        "pseudo-label",
        campaign_folder / "waveforms",
        "--stations",
        stations,
        "--teacher",
        "stalta",
        "--out",
        picks,
    )
    done = run(*words, "--json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    message = json.loads(done.stdout)
    assert message["events"] == len(labelled.events) == len(read_events(str(picks)))
    assert message["labels"] == labelled.labels
    assert message["picks"] == labelled.counts
    assert message["teacher"] == "STA/LTA + AIC"


def read(folder: Path, picks: Path) -> Campaign:
    return Campaign.read(folder / "waveforms", folder / "stations.xml", picks, name="ohio")


def test_automatic_labels_are_recognised_and_no_others(campaign_folder: Path, catalogue: Path, tmp_path: Path) -> None:
    campaign = read(campaign_folder, catalogue)
    assert source_of_labels(campaign, "unknown") == "automatic"
    assert source_of_labels(campaign, "automatic") == "automatic"
    for claimed in ("analyst", "simulated"):
        with pytest.raises(CampaignError, match=f"marked as automatic .*STA/LTA.* is said to be '{claimed}'"):
            source_of_labels(campaign, claimed)
    simulated = read(campaign_folder, campaign_folder / "picks.xml")
    assert [source_of_labels(simulated, s) for s in ("unknown", "simulated")] == ["simulated", "simulated"]
    with pytest.raises(CampaignError, match=r"marked as simulated .* is said to be 'analyst'"):
        source_of_labels(simulated, "analyst")
    (of_nobody := read_events(str(campaign_folder / "picks.xml")))[0].picks[0].method_id = None
    of_nobody.write(str(tmp_path / "of-nobody.xml"), format="QUAKEML")
    assert source_of_labels(read(campaign_folder, tmp_path / "of-nobody.xml"), "unknown") == "unknown"
    reviewed = read_events(str(catalogue))
    for one in reviewed:
        for p in one.picks:
            p.evaluation_status = "reviewed"
    reviewed.write(str(tmp_path / "reviewed.xml"), format="QUAKEML")
    assert source_of_labels(read(campaign_folder, tmp_path / "reviewed.xml"), "analyst") == "analyst"


def test_label_train_label_again(campaign_folder: Path, catalogue: Path, small_backbone: Path, tmp_path: Path) -> None:
    """The whole round: an adapter is trained on a teacher's labels, and is the next teacher."""
    waveforms, stations = campaign_folder / "waveforms", campaign_folder / "stations.xml"
    lean = TrainingSettings(epochs=1, windows_per_epoch=4, stations_per_window=3, judged_windows=3)
    campaign = read(campaign_folder, catalogue)
    folder = train_adapter("second", campaign, folder=tmp_path, backbone=small_backbone, training=lean, folds=0).folder
    contract = json.loads((folder / "adapter_config.json").read_text())["contract"]
    assert contract["provenance"]["label_source"] == "automatic"
    card = (folder / "README.md").read_text()
    assert "labels are automatic (method smi:local/phaseno-peft/STA/LTA---AIC)" in card
    some = tmp_path / "some"
    some.mkdir()
    for file in sorted(waveforms.iterdir())[:2]:
        shutil.copy(file, some)
    picker = load_adapter(folder, backbone=small_backbone)
    found = [picker.annotation(stream, stations).probabilities for stream in read_waveforms(some).values()]
    # The small backbone's weights are random: thresholds that leave a handful of picks.
    p, s = (float(np.quantile(np.concatenate([x[:, i].ravel() for x in found]), 0.95)) for i in range(2))
    teacher = load_teacher(small_backbone, adapter=folder, P_threshold=p, S_threshold=s)
    again = pseudo_label(read_waveforms(some), stations, teacher)
    path = write_catalog(tmp_path / "again.xml", again.to_catalog())
    assert {pick.probability for pick in again.picks if pick.probability < min(p, s)} == set()
    assert {pick.method for pick in read_catalogue(path).picks} == {"smi:local/phaseno-peft/second"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--out", "picks.csv"), "unknown ending '.csv'"),
        (("--out", "nowhere/picks.xml"), "does not exist. Make it first"),
        (("--out", "taken.xml"), "taken.xml: exists already"),
        (("--out", "new.xml", "--teacher", "stalta", "--adapter", "x"), "adapter 'x' goes onto a PhaseNO backbone"),
        (("--out", "new.xml", "--teacher", "stalta", "--p-threshold", "1", "--s-threshold", "1"), "no event of them"),
    ],
)
def test_mistakes_end_with_one_sentence_and_leave_nothing(
    campaign_folder: Path, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    (tmp_path / "taken.xml").write_text("mine")
    stations = ("--stations", campaign_folder / "stations.xml")
    done = run("pseudo-label", campaign_folder / "waveforms", *stations, *options, home=tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert [p.name for p in tmp_path.iterdir()] == ["taken.xml"]
    assert (tmp_path / "taken.xml").read_text() == "mine"
