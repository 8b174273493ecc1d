"""`--time-scale auto`: the scale is said with its reasons, and checked by the frozen backbone on validation."""

from __future__ import annotations

from pathlib import Path

from phaseno_peft.training.time_scale import read_at_best_scale
from tests.campaign.test_time_scale import delivery


def test_a_scale_that_is_asked_for_is_checked_beside_one_on_the_validation_events(small_backbone: Path) -> None:
    said: list[str] = []
    campaign = read_at_best_scale(
        *delivery(0.1, 40.0, 1000.0, events=8), backbone=small_backbone, say=said.append, name="mine"
    )
    assert campaign.preprocessing.time_scale in (1.0, 7.0)
    assert campaign.name == "mine"
    (sentence,) = said
    assert sentence.startswith(
        f"time scale {campaign.preprocessing.time_scale:g}: nine of ten S-P times are above 0.1 s"
    )
    assert "which asks for 7. On the validation events the frozen backbone reaches a mean F1 of" in sentence


def test_a_local_network_stays_at_one_without_a_check() -> None:
    said: list[str] = []
    campaign = read_at_best_scale(*delivery(1.0, 8.0, 100.0), backbone="no such backbone", say=said.append)
    assert campaign.preprocessing.time_scale == 1.0
    assert said[0].startswith("time scale 1: nine of ten S-P times are above 1 s")
