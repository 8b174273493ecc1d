"""A constant shift of the picks, wherever picks and curves come out, and with the adapter that has it."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import obspy
import pytest

from phaseno_peft.contract import NO_SHIFT_S, Contract
from phaseno_peft.errors import AdapterError
from phaseno_peft.evaluation.judge import judge
from phaseno_peft.labelling.teachers import PickerTeacher
from phaseno_peft.library import read_adapter, write_adapter
from phaseno_peft.library.blending import blend_adapters
from phaseno_peft.library.card import Card
from phaseno_peft.picking import Picker, PickList, picks_of
from tests.library.machines import Machine
from tests.training.conftest import read

SHIFT_S = {"P": 0.123, "S": -0.08}
LEVELS = {"P_threshold": 0.02, "S_threshold": 0.02}


@pytest.fixture
def picker(home: Path, small_backbone: Path) -> Picker:
    """The weights of `tiny-ohio` as `early`, without a shift, and as `late`, with one, which is in force."""
    picker = Picker.load(small_backbone)
    stored = read_adapter("tiny-ohio")
    for name, shift_s in (("early", NO_SHIFT_S), ("late", SHIFT_S)):
        contract = dataclasses.replace(stored.contract, pick_shift_s=dict(shift_s))
        picker.add_adapter(dataclasses.replace(stored, contract=contract), name=name)
    return picker


@pytest.fixture
def stream(campaign_folder: Path) -> obspy.Stream:
    whole = obspy.read(str(next((campaign_folder / "continuous").glob("*.mseed"))))
    return whole.trim(whole[0].stats.starttime, whole[0].stats.starttime + 60)


@pytest.fixture
def stations(campaign_folder: Path) -> Path:
    return campaign_folder / "stations.xml"


def keyed(picks: PickList) -> dict[tuple[str, str, float], list[float]]:
    found: dict[tuple[str, str, float], list[float]] = {}
    for pick in picks:
        found.setdefault((pick.trace_id, pick.phase, pick.probability), []).append(pick.time.timestamp)
    return found


def assert_shifted(late: PickList, early: PickList) -> None:
    a, b = keyed(late), keyed(early)
    assert a.keys() == b.keys()
    assert len(early) > 10
    for key, times in a.items():
        np.testing.assert_allclose(np.array(times) - np.array(b[key]), SHIFT_S[key[1]], atol=1e-6)


def test_picks_and_curves_come_out_later_by_the_shift(picker: Picker, stream: obspy.Stream, stations: Path) -> None:
    late, curves = picker.classify(stream, stations, **LEVELS), picker.annotate(stream, stations)
    with picker.using("early"):
        early, plain = picker.classify(stream, stations, **LEVELS), picker.annotate(stream, stations)
    assert_shifted(late, early)
    for moved, trace in zip(curves, plain, strict=True):
        assert moved.stats.starttime - trace.stats.starttime == pytest.approx(SHIFT_S[trace.stats.channel], abs=1e-6)
        np.testing.assert_array_equal(moved.data, trace.data)
    assert [pick.time for pick in late] == sorted(pick.time for pick in late)


def test_an_annotation_keeps_the_shift_of_the_adapter_that_made_it(
    picker: Picker, stream: obspy.Stream, stations: Path
) -> None:
    annotation = picker.annotation(stream, stations)
    blocks = picker.iter_annotations(stream, stations, block_s=31.0)
    picker.set_adapter("early")
    early = picker.annotation(stream, stations)
    assert_shifted(picks_of(annotation, **LEVELS), picks_of(early, **LEVELS))
    assert_shifted(picks_of(blocks, **LEVELS), picks_of(early, **LEVELS))
    sent = pickle.loads(pickle.dumps(picker))
    with sent.using("late"):
        assert_shifted(sent.classify(stream, stations, **LEVELS), picks_of(early, **LEVELS))


def test_a_teacher_labels_with_the_shift(picker: Picker, stream: obspy.Stream, stations: Path) -> None:
    recording = picker.annotation(stream, stations).recording
    from phaseno_peft.campaign.run import Run

    thresholds = {"P": 0.02, "S": 0.02}
    late = picks_of(PickerTeacher(picker, thresholds).annotations([Run.of(recording)]))
    with picker.using("early"):
        early = picks_of(PickerTeacher(picker, thresholds).annotations([Run.of(recording)]))
    assert_shifted(late, early)


def test_an_adapter_is_judged_by_the_picks_it_gives_out(picker: Picker, campaign_folder: Path) -> None:
    campaign = read(campaign_folder)
    late = judge(picker, campaign).scores["adapter"]
    with picker.using("early"):
        early = judge(picker, campaign).scores["adapter"]
    a, b = (scores.tallies["P"] for scores in (late, early))
    common = {(w, p): r for w, p, r in zip(b.match_window, b.match_probability, b.match_residual_s, strict=True)}
    gaps = [
        r - common[w, p]
        for w, p, r in zip(a.match_window, a.match_probability, a.match_residual_s, strict=True)
        if (w, p) in common and abs(r - common[w, p]) < 0.5  # else it belongs to another label now
    ]
    assert len(gaps) > 3
    np.testing.assert_allclose(gaps, SHIFT_S["P"], atol=1e-6)
    assert a.labels == b.labels


def test_the_shift_is_stored_blended_and_bounded(machine: Machine, tiny: Path, tmp_path: Path) -> None:
    machine.use("first")
    first = read_adapter(tiny)
    contract = dataclasses.replace(first.contract, pick_shift_s=SHIFT_S)
    plain = dataclasses.replace(contract, pick_shift_s=dict(NO_SHIFT_S))
    early, late = (
        write_adapter(
            tmp_path / name, first.settings, own, first.tensors, Card(name, first.settings, own, {}, {}, []), {}
        )
        for name, own in (("early-ohio", plain), ("late-ohio", contract))
    )
    assert "pick_shift_s" not in (early / "adapter_config.json").read_text()  # as adapters of before there was one
    assert read_adapter(early).contract.pick_shift_s == NO_SHIFT_S
    assert read_adapter(late).contract.pick_shift_s == SHIFT_S
    assert "constant shift" not in (early / "README.md").read_text()
    assert "| constant shift of the picks | P +0.123 s, S -0.080 s" in (late / "README.md").read_text()
    blend_adapters([str(early), str(late)], [0.5, 0.5], "between")
    assert read_adapter("between").contract.pick_shift_s == pytest.approx({"P": 0.0615, "S": -0.04})
    for wrong in ({"P": 0.6, "S": 0.0}, {"P": 0.1}, {"P": "0.1", "S": 0.0}, None):
        with pytest.raises(AdapterError, match="pick_shift_s"):
            Contract.from_json(contract.to_json() | {"pick_shift_s": wrong})
