"""Every label and pick is one row, and the rows add up to the scores."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from obspy import UTCDateTime

from phaseno_peft.campaign import with_moved_labels
from phaseno_peft.evaluation import Predictions, score
from phaseno_peft.judging.judged_picks import judged_picks, pick_rows, snr_db
from tests.evaluation.handmade_windows import SAMPLES, probability, window

THRESHOLDS = {"P": 0.3, "S": 0.3}


def test_rows_add_up_to_the_scores_of_any_picks() -> None:
    rng = np.random.default_rng(3)
    windows, found = [], []
    for k in range(12):
        places = {(s, p): sorted(rng.choice(SAMPLES // 80, 2, replace=False) * 80 + 40) for s in (0, 1) for p in "PS"}
        labels = {key: at for key, at in places.items() if key != (1, "S")}
        windows.append(window(labels if k < 9 else None, is_noise=k >= 9, known=bool(k % 2)))
        picks = {key: [x + rng.normal(0, 30) for x in at if rng.random() < 0.8] for key, at in places.items()}
        found.append(probability(picks))
    predictions = Predictions(windows, found)
    scores = score(*predictions, THRESHOLDS)
    for tolerance_s in (0.5, 0.1):
        rows = judged_picks(predictions, scores, {}, tolerance_s)
        for phase in ("P", "S"):
            told = scores.phase(phase, tolerance_s)
            counts = Counter(row.outcome for row in rows if row.phase == phase)
            assert (counts["found"], counts["missed"], counts["false"]) == (told.tp, told.fn, told.fp)
            residuals = sorted(
                row.residual_samples / 100 for row in rows if row.phase == phase and row.outcome == "found"
            )
            assert residuals == pytest.approx(sorted(told.residuals_s))
    assert min(told.tp, told.fn, told.fp) > 0
    assert any(row.outcome == "not judged" for row in rows)


def test_a_row_knows_event_distance_and_s_minus_p() -> None:
    w = window({(0, "P"): [300], (0, "S"): [450], (1, "P"): [320]}, event_id="smi:a")
    predictions = Predictions([w], [probability({(0, "P"): [310], (1, "S"): [700]})])
    rows = judged_picks(predictions, score(*predictions, THRESHOLDS), {("smi:a", "XX.S0."): 4.2})
    told = pick_rows("adapter", rows, [w])
    first, missed_s, missed_p, false_s = told
    assert [row["outcome"] for row in told] == ["found", "missed", "missed", "false"]
    assert (first["residual_s"], first["distance_km"], first["s_minus_p_s"]) == (0.1, 4.2, 1.5)
    assert (UTCDateTime(first["label_time"]).ns, UTCDateTime(first["pick_time"]).ns) == (3_000_000_000, 3_100_000_000)
    assert (missed_s["pick_time"], missed_s["probability"], missed_s["s_minus_p_s"]) == ("", None, 1.5)
    assert (missed_p["distance_km"], missed_p["s_minus_p_s"]) == (None, None)
    assert (false_s["label_time"], false_s["residual_s"], false_s["event"]) == ("", None, "smi:a")


def test_rows_lie_where_picks_are_given_out_also_with_a_constant_shift() -> None:
    w = window({(0, "P"): [300], (0, "S"): [450]}, event_id="a")
    w.waveforms[:] = np.random.default_rng(0).standard_normal(w.waveforms.shape)
    shift_s = {"P": 0.2, "S": -0.1}
    plain = Predictions([w], [probability({(0, "P"): [310], (0, "S"): [440], (1, "P"): [700]})])
    moved = Predictions(
        with_moved_labels([w], shift_s), [probability({(0, "P"): [290], (0, "S"): [450], (1, "P"): [680]})]
    )
    rows = judged_picks(plain, score(*plain, THRESHOLDS), {})
    shifted = judged_picks(moved, score(*moved, THRESHOLDS), {}, pick_shifts_s=[shift_s])
    for one, other in zip(rows, shifted, strict=True):
        assert one.outcome == other.outcome
        for name in ("label_sample", "pick_sample", "residual_samples", "snr_db", "sp_s"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), nan_ok=True, abs=1e-3)


def test_snr_is_the_ratio_of_rms_after_and_before_on_the_phase_s_own_components() -> None:
    w = window({(0, "P"): [400]})
    rng = np.random.default_rng(0)
    w.waveforms[0] = rng.standard_normal((3, SAMPLES)).astype(np.float32)
    w.waveforms[0, 2, 400:450] *= 10.0
    assert snr_db(w, 0, 0, 400.0) == pytest.approx(20.0, abs=2.0)
    assert snr_db(w, 0, 1, 400.0) == pytest.approx(0.0, abs=2.0)
    assert math.isnan(snr_db(w, 0, 0, 20.0))  # nothing before it
    w.waveforms[0, 2, :350] = 0.0
    assert math.isnan(snr_db(w, 0, 0, 400.0))  # a gap before it
