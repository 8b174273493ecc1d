"""Half widths become uncertainties that hold on other events."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from phaseno_peft.contract import Calibration, Contract, PickUncertainty
from phaseno_peft.errors import AdapterError
from phaseno_peft.evaluation import calibrate_uncertainty
from phaseno_peft.evaluation.calibration import RightPicks, calibrate_picks, held_out_error, stated_s
from tests.cr_lora.conftest import contract
from tests.evaluation.handmade_windows import probability, window

THRESHOLDS = {"P": 0.3, "S": 0.3}
Draw = Callable[[np.random.Generator, NDArray[np.float64]], NDArray[np.float64]]
"""(generator, half widths) -> residuals, both in seconds."""


def picks_of(draw: Draw, seed: int, n_events: int = 500) -> RightPicks:
    """Four picks an event whose half widths are 0.05 to 0.2 s, with residuals that a rule draws."""
    rng = np.random.default_rng(seed)
    widths_s = rng.uniform(0.05, 0.2, 4 * n_events)
    return RightPicks(np.abs(draw(rng, widths_s)), widths_s, np.repeat(np.arange(n_events), 4))


DRAWS: dict[str, tuple[Draw, str]] = {
    "as wide as the peak": (lambda rng, width: rng.normal(0, 0.5 * width), "scale"),
    "the same whatever the peak": (lambda rng, width: rng.normal(0, 0.06, len(width)), "isotonic"),
    "wide above 0.15 s": (lambda rng, width: rng.normal(0, np.where(width < 0.15, 0.02, 0.12)), "isotonic"),
    "heavy tails": (lambda rng, width: 0.2 * width * rng.standard_t(2, len(width)), "scale"),
}


@pytest.mark.parametrize("kind", DRAWS)
def test_the_form_with_the_smaller_error_is_kept_and_covers_other_events(kind: str) -> None:
    draw, method = DRAWS[kind]
    measured, other = picks_of(draw, 0), picks_of(draw, 1)
    factor, found = calibrate_picks(measured)
    assert (found.method, found.picks, found.events) == (method, 2000, 500)
    stated = stated_s(PickUncertainty({"P": factor}, {"P": found}), "P", other.half_width_s)
    one, two = (np.mean(other.error_s <= half_s) for half_s in stated)
    assert 0.63 <= one <= 0.73  # the goals of the library
    assert 0.92 <= two <= 0.98
    errors = {form: held_out_error(measured, form) for form in ("scale", "isotonic")}
    assert min(errors, key=lambda form: errors[form]) == method


def test_errors_that_are_not_normal_have_their_own_95_percent() -> None:
    _, tails = calibrate_picks(picks_of(DRAWS["heavy tails"][0], 0))
    _, normal = calibrate_picks(picks_of(DRAWS["as wide as the peak"][0], 0))
    assert normal.factor_95 == pytest.approx(1.96, abs=0.15)
    assert tails.factor_95 > 2.5


def test_an_offset_that_the_adapter_keeps_is_part_of_its_uncertainty() -> None:
    centred, off = (
        calibrate_picks(picks_of(lambda rng, width, at=at: rng.normal(at, 0.3 * width), 0))[0]  # type: ignore[misc]
        for at in (0.0, 0.06)
    )
    assert off > 1.8 * centred


def test_few_picks_are_not_calibrated_and_few_dozens_make_no_interval_too_narrow() -> None:
    windows = [window({(0, "S"): [500]}) for _ in range(7)]
    found = [probability({(0, "S"): [500 + k]}) for k in range(7)]
    few = calibrate_uncertainty(windows, found, THRESHOLDS)
    assert few.factor == {"P": 1.0, "S": 1.0}
    assert few.calibration == {}
    assert few.factor_95("S") == 1.96
    _, some = calibrate_picks(picks_of(DRAWS["the same whatever the peak"][0], 0, n_events=4))
    assert some.factor_95 >= 1.96


def test_one_event_has_no_other_to_compare_forms_on() -> None:
    draw = DRAWS["the same whatever the peak"][0]
    assert calibrate_picks(picks_of(draw, 0))[1].method == "isotonic"
    assert calibrate_picks(dataclasses.replace(picks_of(draw, 0), group=np.zeros(2000, int)))[1].method == "scale"


def test_right_picks_of_windows_that_share_an_event_are_of_one_group() -> None:
    windows = [window({(0, "P"): [300]}, event_id=f"event {k // 2}") for k in range(12)]
    found = [probability({(0, "P"): [300 + k]}) for k in range(12)]
    uncertainty = calibrate_uncertainty(windows, found, THRESHOLDS)
    assert uncertainty.calibration["P"].events == 6
    # The 9th of 12 residuals (13 * 0.68 = 8.84), 0.08 s, over half widths of 0.1 s.
    assert uncertainty.factor["P"] == pytest.approx(0.8, rel=0.05)


CURVE = Calibration("isotonic", (0.05, 0.15), (0.02, 0.06), 2.5, 40, 10)


def test_a_curve_is_level_beyond_its_knots_and_straight_between() -> None:
    uncertainty = PickUncertainty({"P": 1.0, "S": 0.5}, {"P": CURVE})
    widths = (0.01, 0.05, 0.10, 0.15, 0.9)
    assert [uncertainty.one_sigma_s("P", w) for w in widths] == pytest.approx([0.02, 0.02, 0.04, 0.06, 0.06])
    assert uncertainty.one_sigma_s("S", 0.1) == pytest.approx(0.05)
    assert (uncertainty.factor_95("P"), uncertainty.factor_95("S")) == (2.5, 1.96)


def test_a_contract_keeps_its_calibration_and_older_ones_have_none() -> None:
    old = Contract.from_json(contract())
    assert old.uncertainty_calibration == {}
    assert "uncertainty_calibration" not in old.to_json()  # as adapters of before there was one are written
    new = dataclasses.replace(old, uncertainty_calibration={"P": CURVE})
    again = Contract.from_json(json.loads(json.dumps(new.to_json())))
    assert again == new
    assert again.pick_uncertainty.one_sigma_s("P", 0.1) == pytest.approx(0.04)


@pytest.mark.parametrize(
    "changes",
    [
        {"half_width_s": [0.05]},  # fewer knots of one kind
        {"half_width_s": [0.15, 0.05]},
        {"uncertainty_s": [0.06, 0.02]},
        {"method": "scale"},  # which has no knots
        {"method": "spline"},
        {"factor_95": 0.5},
        {"uncertainty_s": [-0.02, 0.06]},
        {"more": 1},
    ],
)
def test_a_calibration_that_cannot_be_is_refused_by_its_field(changes: dict[str, object]) -> None:
    raw = dataclasses.asdict(CURVE) | changes
    with pytest.raises(AdapterError, match=r"uncertainty_calibration"):
        Contract.from_json(contract(uncertainty_calibration={"P": raw}))
    with pytest.raises(AdapterError, match="uncertainty_calibration"):
        Contract.from_json(contract(uncertainty_calibration={"Pn": dataclasses.asdict(CURVE)}))
