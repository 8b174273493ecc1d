"""Epochs, the one that is kept, and the schedules."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phaseno_peft.errors import CampaignError
from phaseno_peft.training import QUICK, Epoch, TrainingSettings
from phaseno_peft.training.history import TrainingState, best_epoch, first_difference
from phaseno_peft.training.settings import FULL_RATE_EVENTS, LEAST_WINDOWS, cosine, plateau


def epoch(number: int, f1: float, loss: float) -> Epoch:
    return Epoch(number, 0.1, loss, f1, f1, f1, 1e-3, 1.0)


def test_scores_closer_than_one_pick_are_told_apart_by_the_loss() -> None:
    history = [epoch(0, 0.50, 0.10), epoch(1, 0.80, 0.08), epoch(2, 0.79, 0.05), epoch(3, 0.60, 0.01)]
    assert best_epoch(history, one_pick=0.02) == 2
    assert best_epoch(history, one_pick=0.001) == 1


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from([0.1, 0.2, 0.3, math.nan, math.inf])), min_size=0, max_size=12
    ),
    st.sampled_from([0.01, 0.1, 0.3]),
)
def test_the_epoch_to_keep_is_always_among_the_snapshots(found: list[tuple[int, float]], one_pick: float) -> None:
    state = TrainingState(100)
    for number, (score, loss) in enumerate([(0, 0.25), *found]):
        state.add(epoch(number, score / 4, loss), {"x": torch.tensor(float(number))})
        kept = best_epoch(state.history, one_pick)
        assert float(state.snapshots[kept]["x"]) == kept


def test_snapshots_that_cannot_win_are_dropped_and_copies_are_kept() -> None:
    state, weight = TrainingState(9), torch.zeros(2)
    for number in range(5):
        weight += 1
        state.add(epoch(number, 0.1 * number, 1.0 - 0.1 * number), {"w": weight})
    assert list(state.snapshots) == [4]
    weight += 1
    assert state.snapshots[4]["w"].tolist() == [5.0, 5.0]


def test_the_cosine_rises_then_falls_to_zero() -> None:
    factors = [cosine(i / 100, 0.05) for i in range(101)]
    assert factors[0] < 0.05
    assert max(factors) == pytest.approx(1.0, abs=1e-3)
    assert factors[100] == pytest.approx(0.0, abs=1e-12)
    assert factors[10:] == sorted(factors[10:], reverse=True)


def test_the_plateau_halves_after_each_stall() -> None:
    assert plateau([], 3) == 1.0
    assert plateau([5, 4, 3, 2], 3) == 1.0
    assert plateau([5, 6, 6], 3) == 1.0
    assert plateau([5, 6, 6, 6], 3) == 0.5
    assert plateau([5, 6, 6, 6, 6, 6, 6], 3) == 0.25
    assert plateau([5, 6, 6, 6, 4, 5, 5], 3) == 0.5
    assert plateau([math.nan, math.nan, math.nan], 3) == 0.5


def test_windows_of_an_epoch_follow_the_events_up_to_a_limit() -> None:
    assert TrainingSettings().windows(19) == 38
    assert TrainingSettings(windows_per_epoch=6).windows(19) == 6
    assert [QUICK.windows(n) for n in (19, 400)] == [38, 80]
    assert TrainingSettings().windows(4) == LEAST_WINDOWS


def test_fewer_events_are_trained_at_lower_rates_and_that_is_done_once() -> None:
    few, some, many = (TrainingSettings().for_events(n) for n in (4, FULL_RATE_EVENTS, 40))
    assert [each.rate_factor for each in (few, some, many)] == [4 / FULL_RATE_EVENTS, 1.0, 1.0]
    assert [each.windows_per_epoch for each in (few, some, many)] == [LEAST_WINDOWS, LEAST_WINDOWS, 80]
    assert few.for_events(2) == few
    assert TrainingSettings(full_rate_events=0).for_events(3).rate_factor == 1.0
    with pytest.raises(CampaignError, match="`full_rate_events` should be at least 0 but is -1"):
        TrainingSettings(full_rate_events=-1)


def test_settings_refuse_what_they_do_not_know() -> None:
    with pytest.raises(CampaignError, match="`schedule` should be 'cosine' or 'plateau' but is 'linear'"):
        TrainingSettings(schedule="linear")  # type: ignore[arg-type]
    with pytest.raises(CampaignError, match="`batch_stations` should be at least 1 but is 0"):
        TrainingSettings(batch_stations=0)


def test_the_first_difference_names_its_place() -> None:
    before = {"training": {"epochs": 15, "seed": 0}, "recipe": "lora"}
    assert first_difference(before, {"training": {"epochs": 15, "seed": 0}, "recipe": "lora"}) is None
    now = {"training": {"epochs": 30, "seed": 0}, "recipe": "lora"}
    assert first_difference(before, now) == "`training.epochs` is 30 now and was 15"
    assert first_difference(before, {"recipe": "lora"}) is not None
    assert first_difference({"recipe": "lora"}, before) is not None


def test_long_values_are_shortened_in_their_middle_since_paths_differ_at_their_end() -> None:
    years = [{"archive": f"/archives/of/a/network/with/a/long/name/{year}"} for year in (2025, 2026)]
    shown = [f"'/archives/of/a/ne...h/a/long/name/{year}'" for year in (2026, 2025)]
    assert first_difference(*years) == f"`archive` is {shown[0]} now and was {shown[1]}"
