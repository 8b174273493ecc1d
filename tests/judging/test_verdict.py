"""The verdict follows its written rules: each rule decides where it alone applies, and the weightier one goes first."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phaseno_peft.judging import Evidence, Interval, decide, evidence
from phaseno_peft.judging.evidence import stored_forgetting
from phaseno_peft.judging.verdict import (
    ANOTHER_CONVENTION_S,
    FEWEST_EVENTS,
    FEWEST_LABELS,
    FEWEST_NOISE_HOURS,
    LARGEST_FORGETTING,
    MANY_EVENTS,
)
from phaseno_peft.library.training_notes import notes_on_training

SOUND = Evidence(
    n_events=40,
    n_labels={"P": 120, "S": 110},
    gain=Interval(0.2, 0.1, 0.3),
    phase_gains={"P": Interval(0.2, 0.1, 0.3), "S": Interval(0.1, -0.05, 0.2)},
    rival_gains={"phasenet": Interval(0.1, -0.02, 0.2)},
    noise_hours=2.0,
    false_per_hour=Interval(2.0, 1.0, 3.0),
    frozen_false_per_hour=4.0,
    more_false_per_hour=Interval(-2.0, -4.0, 0.0),
    forgetting={"P": 0.01, "S": -0.01},
)

DOUBLED = {"false_per_hour": Interval(9.0, 5.0, 13.0), "more_false_per_hour": Interval(5.0, 1.0, 9.0)}


def given(**changes: Any) -> Evidence:
    return dataclasses.replace(SOUND, **changes)


def test_a_clear_gain_on_many_events_without_anything_against_it_is_deployed() -> None:
    decided = decide(SOUND)
    assert str(decided) == "Deploy: F1 changes by +0.200 [+0.100, +0.300] against the frozen network on 40 events."
    assert (decided.severity, decided.cautions) == ("good", ())


@pytest.mark.parametrize(
    ("changes", "word", "reason"),
    [
        ({"trained_on_all": True}, "not enough evidence", "was trained on the events that it is scored on"),
        ({"label_source": "simulated"}, "not enough evidence", "labels are simulated"),
        ({"n_events": FEWEST_EVENTS - 1}, "not enough evidence", "there are 4 test events"),
        ({"n_groups": 1}, "not enough evidence", "there are 40 test events in 1 group that share windows, and fewer"),
        ({"n_groups": 19}, "deploy with care", "there are only 40 test events in 19 groups that share windows"),
        ({"n_labels": {"P": FEWEST_LABELS - 1, "S": 0}}, "not enough evidence", "there are 19 labels"),
        ({"gain": Interval(-0.1, -0.2, -0.01)}, "do not deploy", "better without it: F1 changes by -0.100"),
        ({"phase_gains": {"S": Interval(-0.1, -0.2, -0.01)}}, "do not deploy", "loses S"),
        ({"rival_gains": {"phasenet": Interval(-0.1, -0.2, -0.01)}}, "do not deploy", "phasenet is better"),
        (DOUBLED, "do not deploy", "more than double, from 4.0 to 9.0 an hour (95 % of the difference 1.0 to 9.0, 2.0"),
        ({"gain": Interval(0.1, 0.0, 0.2)}, "not enough evidence", "40 test events do not tell the adapter"),
        ({"may_flatter": True}, "deploy with care", "may have been trained on some of these events"),
        ({"offset_change_s": {"P": 1.1 * ANOTHER_CONVENTION_S}}, "deploy with care", "55 ms earlier"),
        ({"offset_change_s": {"S": -2 * ANOTHER_CONVENTION_S}}, "deploy with care", "100 ms later"),
        ({"n_events": MANY_EVENTS - 1}, "deploy with care", "only 19 test events"),
        ({"label_source": "automatic"}, "deploy with care", "labels are automatic"),
        ({"noise_hours": 0.0}, "deploy with care", "no noise was judged"),
        ({"noise_hours": 0.5 * FEWEST_NOISE_HOURS}, "deploy with care", "15 minutes of noise only"),
        ({"false_per_hour": Interval(5.0, 2.0, 8.0)}, "deploy with care", "rise from 4.0 to 5.0 an hour"),
        ({"forgetting": {"P": 2 * LARGEST_FORGETTING, "S": 0.0}}, "deploy with care", "falls for P by 0.10"),
        ({"forgetting": None}, "deploy with care", "was not measured"),
    ],
)
def test_each_rule_decides_where_it_alone_applies(changes: dict[str, Any], word: str, reason: str) -> None:
    decided = decide(given(**changes))
    assert decided.word == word
    assert reason in decided.reason
    assert decided.reason.endswith(".")


@pytest.mark.parametrize(
    "changes",
    [
        {"n_events": FEWEST_EVENTS, "n_labels": {"P": FEWEST_LABELS, "S": 0}},
        {"offset_change_s": {"P": 0.9 * ANOTHER_CONVENTION_S}},
        {**DOUBLED, "more_false_per_hour": Interval(5.0, 0.0, 10.0)},  # the interval of the difference holds zero
        {**DOUBLED, "false_per_hour": Interval(8.0, 5.0, 11.0)},
        {**DOUBLED, "noise_hours": 0.9 * FEWEST_NOISE_HOURS},
        {"noise_hours": 0.0, "false_per_hour": Interval(0.0, 0.0, 0.0)},
    ],
)
def test_what_is_at_its_limit_never_forbids(changes: dict[str, Any]) -> None:
    assert decide(given(**changes)).word in ("deploy", "deploy with care")


def test_half_an_hour_of_noise_is_half_an_hour_however_its_windows_are_summed() -> None:
    a_little_less = float(np.sum(np.full(60, 30.0 / 3600.0))) - 1e-13
    assert a_little_less < FEWEST_NOISE_HOURS
    assert decide(given(**{**DOUBLED, "noise_hours": a_little_less})).word == "do not deploy"
    assert decide(given(noise_hours=a_little_less)).word == "deploy"


def test_too_little_evidence_goes_before_what_speaks_against_it_and_that_before_what_asks_for_care() -> None:
    worse, few = Interval(-0.1, -0.2, -0.01), FEWEST_EVENTS - 1
    assert decide(given(gain=worse, n_events=few)).word == "not enough evidence"
    assert decide(given(gain=worse, may_flatter=True)).word == "do not deploy"


def test_what_else_to_mind_stands_beside_every_verdict_and_never_twice() -> None:
    careful = decide(given(may_flatter=True, label_source="automatic"))
    assert "may have been trained" in careful.reason
    assert [c for c in careful.cautions if "automatic" in c] == list(careful.cautions)
    against = decide(given(may_flatter=True, gain=Interval(-0.1, -0.2, -0.01)))
    assert any("may have been trained" in c for c in against.cautions)


def test_what_trained_on_simulated_networks_is_not_measured_by_them(
    adapter_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = adapter_home / "adapters" / "tiny-ohio"
    measured = stored_forgetting(adapter)
    assert measured is not None
    stored = evidence.read_evaluation_json(adapter)
    assert stored is not None
    stored["about"]["training"]["replay"] = 0.25
    monkeypatch.setattr(evidence, "read_evaluation_json", lambda _: stored)
    assert stored_forgetting(adapter) is None
    assert "its scores on these say little" in notes_on_training(stored["about"])[-1]
