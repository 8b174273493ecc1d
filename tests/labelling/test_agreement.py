"""Pseudo-labels of several models: what most agree on is kept, what they do not is masked."""

from __future__ import annotations

import dataclasses

import pytest

from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.labelling import Coincidence
from phaseno_peft.labelling.agreement import agreed_events
from phaseno_peft.picks import Pick, PickList
from tests.labelling.test_coincidence import event, pick, table

LEVELS = {"P": 0.3, "S": 0.3}


def moved(picks: list[Pick], by_s: float) -> list[Pick]:
    return [dataclasses.replace(p, time=p.time + by_s) for p in picks]


def test_what_three_of_four_models_pick_is_a_label_at_their_median_time() -> None:
    models = [PickList(moved(event(50.0), by_s)) for by_s in (0.0, 0.02, 0.04)]
    found = agreed_events([*models, PickList()], LEVELS, table(), Coincidence())
    assert len(found) == 1
    assert {(p.trace_id, p.phase) for p in found[0].picks} == {(p.trace_id, p.phase) for p in models[0]}
    assert [p.time for p in found[0].picks] == [
        p.time for p in sorted(models[1], key=lambda p: (p.time.ns, p.trace_id))
    ]
    assert found[0].ambiguous == ()
    assert agreed_events([*models[:2], PickList(), PickList()], LEVELS, table(), Coincidence()) == []


def test_what_models_put_at_different_times_or_see_weakly_is_doubtful() -> None:
    whole = event(50.0)
    last = max(whole, key=lambda p: p.time.ns)
    late = [dataclasses.replace(p, time=p.time + 0.3) if p is last else p for p in whole]
    weak = dataclasses.replace(pick("A", "P", 58.0, 0.1))
    found = agreed_events([PickList(whole), PickList([*late, weak])], LEVELS, table(), Coincidence())
    assert {(p.trace_id, p.phase) for p in found[0].ambiguous} == {(last.trace_id, last.phase), (weak.trace_id, "P")}
    assert len(found[0].picks) == len(whole) - 1


def test_an_associator_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyocto", None)
    with pytest.raises(PhasenoPeftError, match="needs PyOcto and pandas"):
        agreed_events([PickList(event(50.0))], LEVELS, table(), Coincidence(), associator="pyocto")
