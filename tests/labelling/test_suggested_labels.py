"""What to label next: doubt in arrivals, diversity, files to correct, and the way back into training."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from obspy import Trace, UTCDateTime, read

from phaseno_peft.campaign import Campaign, read_catalogue
from phaseno_peft.errors import CampaignError, PhasenoPeftError
from phaseno_peft.labelling import SuggestedLabels, Suggestion, suggest_labels, write_suggestions
from phaseno_peft.labelling.doubt import Reading, certainty, readings
from phaseno_peft.labelling.suggested_files import _fit_codes
from phaseno_peft.labelling.suggested_labels import _record_around, likeness, take
from phaseno_peft.picking import Picker, PickList, load_adapter
from phaseno_peft.picks import Pick
from phaseno_peft.training import train_adapter
from tests.cli.test_commands import run
from tests.training.conftest import LEAN

T0 = UTCDateTime(2020, 1, 1)
LEVELS = {"P": 0.4, "S": 0.4}


def pick(at_s: float, probability: float, station: str = "XX.A.", phase: str = "P") -> Pick:
    return Pick(station, phase, T0 + at_s, probability, 0.05)


def doubts(*models: list[Pick]) -> list[Reading]:
    return readings([PickList(own) for own in models], LEVELS)


def test_a_pick_at_the_threshold_is_undecided_and_a_certain_one_is_not() -> None:
    np.testing.assert_allclose(certainty(np.array([0.0, 0.2, 0.4, 0.7, 1.0]), 0.4), [0.0, 0.25, 0.5, 0.75, 1.0])
    at, sure, weak = doubts([pick(1, 0.4), pick(5, 1.0), pick(9, 0.2)])
    assert (at.undecided, sure.undecided, weak.undecided) == pytest.approx((1.0, 0.0, 0.75))
    assert (at.is_pick, sure.is_pick, weak.is_pick) == (True, True, False)


def test_models_differ_where_one_has_no_pick_and_where_their_times_lie_apart() -> None:
    alike, late, missing = doubts([pick(1, 1.0), pick(5, 1.0), pick(9, 1.0)], [pick(1, 1.0), pick(5.1, 1.0)])
    assert alike.differing == 0.0
    assert late.differing == pytest.approx(0.5)  # half of FAR_S
    assert missing.differing == 1.0
    assert alike.doubt < late.doubt < missing.doubt
    other = doubts([pick(1, 0.9)], [pick(1, 0.9, phase="S")], [pick(1, 0.9, "XX.B.")])
    assert len(other) == 3  # another phase and another station are other arrivals
    assert other[0].pick.probability == 0.9


def event(at_s: float, offsets_s: tuple[float, ...], use: float = 1.0, noise: float = 0.0) -> Suggestion:
    found = tuple(
        Reading(pick(at_s + late, 0.5, f"XX.{chr(65 + i)}."), True, 0.5, 0.5) for i, late in enumerate(offsets_s)
    )
    return Suggestion(T0 + at_s - 30, T0 + at_s + 60, found, True, noise, use)


def test_of_a_family_of_doublets_one_is_taken_before_another_place() -> None:
    family = [event(1000 * i, (0.0, 1.0, 2.0, 3.0), use=1.0 - 0.01 * i) for i in range(4)]
    other = event(4000, (3.0, 0.0, 5.0, 1.0), use=0.8)
    assert likeness(family[0], family[1], 1000) > likeness(family[0], other, 1000)
    assert take([*family, other], 2)[1].start == other.start
    loud = event(1000, (0.0, 1.0, 2.0, 3.0), use=0.9, noise=2.0)
    assert take([family[0], family[1], loud], 2)[1].noise == 2.0  # of two alike the one in other noise


def test_a_middle_in_a_hole_of_all_stations_gives_a_record_beside_it() -> None:
    runs = [(T0, T0 + 100), (T0 + 130, T0 + 300)]
    assert _record_around(T0 + 110, 60.0, runs) == (T0 + 40, T0 + 100)
    assert _record_around(T0 + 125, 60.0, runs) == (T0 + 130, T0 + 190)
    assert _record_around(T0 + 200, 60.0, runs) == (T0 + 170, T0 + 230)


def test_codes_that_miniseed_would_cut_are_refused() -> None:
    header = {"network": "XX", "station": "GEOPH001", "channel": "HHZ"}
    with pytest.raises(PhasenoPeftError, match=r"XX\.GEOPH001\.\.HHZ: MiniSEED has room for .* shorter code"):
        _fit_codes(Trace(np.zeros(10, np.int32), header), {"HHZ": "-Z"})
    _fit_codes(Trace(np.zeros(10, np.int32), header | {"station": "GEO01"}), {"HHZ": "-Z"})


def test_what_lies_in_a_record_that_is_taken_is_labelled_with_it() -> None:
    near = event(20, (1.0, 2.0, 0.0), use=5.0)
    assert [s.use for s in take([event(0, (0.0, 1.0, 2.0), use=6.0), near], 5)] == [6.0]
    first = event(0, (0.0, 1.0, 2.0), use=6.0)
    behind_its_end = replace(first, readings=event(70, (0.0, 1.0)).readings, use=5.0)  # in a hole after a short run
    assert take([first, behind_its_end], 5) == [replace(first, gain=6.0)]
    assert take([event(0, (0.0, 1.0), use=0.0)], 3) == []


@pytest.fixture(scope="module")
def picker(tiny_folder: Path, small_backbone: Path) -> Picker:
    return load_adapter(tiny_folder, backbone=small_backbone)


@pytest.fixture(scope="module")
def tiny_folder(adapter_home: Path) -> Path:
    return adapter_home / "adapters" / "tiny-ohio"


@pytest.fixture(scope="module")
def archive(campaign_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four triggered records."""
    folder = tmp_path_factory.mktemp("archive")
    for file in sorted((campaign_folder / "waveforms").iterdir())[:4]:
        shutil.copy(file, folder)
    return folder


@pytest.fixture(scope="module")
def found(archive: Path, campaign_folder: Path, picker: Picker) -> SuggestedLabels:
    return suggest_labels(archive, campaign_folder / "stations.xml", picker, n=3)


def test_the_models_are_the_adapter_and_the_frozen_network(found: SuggestedLabels) -> None:
    assert found.models == ("tiny-ohio", "frozen")
    assert 1 <= len(found.suggestions) <= 3 <= found.n_candidates
    gains = [s.gain for s in found.suggestions]
    assert gains == sorted(gains, reverse=True)
    assert all(s.end - s.start <= 90.0 for s in found.suggestions)


def test_what_is_written_has_the_samples_of_the_archive_and_what_was_corrected_trains(
    found: SuggestedLabels, archive: Path, campaign_folder: Path, small_backbone: Path, tmp_path: Path
) -> None:
    stations = campaign_folder / "stations.xml"
    folder = write_suggestions(tmp_path / "next", found, archive, stations=stations)
    names = [s.name for s in found.suggestions]
    assert sorted(p.name for p in folder.iterdir()) == [
        "stations.xml", "suggestions.csv", "to-correct.markers", "to-correct.xml", "waveforms",
    ]  # fmt: skip
    with (folder / "suggestions.csv").open() as file:
        assert [row["file"] for row in csv.DictReader(file)] == [f"waveforms/{name}.mseed" for name in names]
    for each in found.suggestions:
        cut = read(str(folder / "waveforms" / f"{each.name}.mseed"))
        whole = next(
            s for file in archive.iterdir() if abs((s := read(str(file)))[0].stats.starttime - each.start) < 60
        )
        for trace in cut:
            own = whole.select(id=trace.id)[0].slice(trace.stats.starttime, trace.stats.endtime)
            np.testing.assert_array_equal(own.data, trace.data)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("years of work")
    with pytest.raises(PhasenoPeftError, match="holds no suggestions"):
        write_suggestions(foreign, found, archive, overwrite=True)
    assert (foreign / "thesis.txt").is_file()
    with pytest.raises(CampaignError, match="its picks were not corrected yet"):
        Campaign.read(campaign_folder / "waveforms", stations, campaign_folder / "picks.xml", more=[folder])
    # the analyst: the true picks of these records instead of the provisional ones, saved as Snuffler's markers
    spans = [(s.start, s.end) for s in found.suggestions]
    truth = [
        Pick(p.station_id, p.phase, p.time, 1.0, 0.05)
        for p in read_catalogue(campaign_folder / "picks.xml").picks
        if any(a <= p.time <= b for a, b in spans)
    ]
    PickList(truth, creator="analyst").write(folder / "picks.markers")
    rest = tmp_path / "labelled"
    rest.mkdir()
    for file in sorted((campaign_folder / "waveforms").iterdir())[4:]:
        shutil.copy(file, rest)
    before = Campaign.read(rest, stations, campaign_folder / "picks.xml", skip_unknown=True)
    after = Campaign.read(rest, stations, campaign_folder / "picks.xml", more=[folder], skip_unknown=True)
    labels = [
        {(p.station_id, p.phase, p.time.ns // 1000) for s in c.stretches() for p in s.picks} for c in (before, after)
    ]
    assert labels[1] - labels[0] == {(p.trace_id, p.phase, p.time.ns // 1000) for p in truth}
    settings = {"training": LEAN.changed(epochs=1), "folds": 0}
    trained = train_adapter("second", after, folder=tmp_path, backbone=small_backbone, recipe="se-only", **settings)  # type: ignore[arg-type]
    made = trained.contract.provenance
    assert made.train_events + made.validation_events + made.test_events > len(
        {e for s in before.stretches() for e in s.event_ids}
    )


def test_what_is_labelled_is_not_suggested_again(
    found: SuggestedLabels, archive: Path, campaign_folder: Path, picker: Picker
) -> None:
    labelled = read_catalogue(campaign_folder / "picks.xml")
    with pytest.raises(PhasenoPeftError, match="or none outside what is labelled"):
        suggest_labels(archive, campaign_folder / "stations.xml", picker, labelled=labelled)


def test_the_command_says_what_it_found_and_refuses_a_folder_that_is_there(
    archive: Path, campaign_folder: Path, small_backbone: Path, adapter_home: Path, tmp_path: Path
) -> None:
    given = ("suggest-labels", "--unlabelled", archive, "--stations", campaign_folder / "stations.xml", "--n", "2")
    given += ("--adapter", "tiny-ohio", "--backbone", small_backbone, "--out", tmp_path / "next")
    done = run(*given, "--json", home=adapter_home)
    assert done.returncode == 0, done.stderr
    message = json.loads(done.stdout)
    assert 1 <= len({s["file"] for s in message["suggestions"]}) == len(message["suggestions"]) <= 2
    assert all((tmp_path / "next" / s["file"]).is_file() for s in message["suggestions"])
    assert message["models"] == ["tiny-ohio", "frozen"]
    again = run(*given, home=adapter_home)
    assert (again.returncode, again.stdout) == (2, "")
    assert "exists already" in again.stderr
