"""Every figure is drawn from full, sparse and empty input. Looks were judged by eye; here they must not fail."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from obspy import UTCDateTime

from phaseno_peft.campaign.recording import Recording
from phaseno_peft.campaign.station import Station
from phaseno_peft.campaign.windows import Window
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.evaluation.metrics import pick_window, score
from phaseno_peft.evaluation.scores import Scores
from phaseno_peft.figures import scores as figures
from phaseno_peft.figures import sections
from phaseno_peft.figures.scores import bars
from phaseno_peft.figures.style import save
from phaseno_peft.picks import Pick, PickList
from tests.evaluation.handmade_windows import SAMPLES, probability, window

THRESHOLDS = {"P": 0.3, "S": 0.3}
LABELS = {(0, "P"): [300], (0, "S"): [500], (1, "P"): [320]}
T0 = UTCDateTime("2013-09-05T02:08:14Z")


def drawn(path: Path) -> np.ndarray:
    """Pixels [row, column] of the ink; fails where nothing was drawn or a temporary file was left."""
    assert list(path.parent.glob(".*")) == []
    ink: np.ndarray = matplotlib.image.imread(path)[..., :3].min(axis=-1) < 0.9
    assert ink.sum() > 500
    return ink


def scored(picks: dict[tuple[int, str], list[int]]) -> Scores:
    return score([window(LABELS), window(is_noise=True)], [probability(picks), probability()], THRESHOLDS)


def noisy(w: Window) -> Window:
    w.waveforms[:] = np.random.default_rng(0).normal(0, 0.1, w.waveforms.shape)
    return w


@pytest.mark.parametrize("picks", [{}, {(0, "P"): [305]}, {(0, "P"): [305], (0, "S"): [490], (1, "P"): [320]}])
def test_comparisons_of_scores_are_drawn_with_and_without_picks(
    tmp_path: Path, picks: dict[tuple[int, str], list[int]]
) -> None:
    drawn(figures.residual_histograms(scored({}), scored(picks), tmp_path / "residuals.png"))
    drawn(figures.score_bars({"frozen": scored({}), "adapter": scored(picks)}, tmp_path / "bars.png"))


def test_bars_hold_every_model_and_none_of_a_phase_without_labels(tmp_path: Path) -> None:
    found = scored({(0, "P"): [305], (0, "S"): [490]})
    only_p = score([window({(0, "P"): [300]})], [probability({(0, "P"): [305]})], THRESHOLDS)
    for models in ({"frozen": found, "phasenet": found, "stalta": found, "adapter": found}, {"adapter": only_p}):
        figure = bars(models)
        drawn(save(figure, tmp_path / "bars.png"))
        axes = figure.axes[0]
        assert len(axes.patches) == 3 * len(models)
    assert "none" in {text.get_text() for text in figure.axes[2].texts}


def test_f1_against_tolerance_is_drawn_for_any_number_of_models(tmp_path: Path) -> None:
    models = {f"model {k}": scored({(0, "P"): [300 + k]}) for k in range(8)}
    drawn(figures.f1_against_tolerance(models, tmp_path / "figure.png"))
    with pytest.raises(PhasenoPeftError, match="no model"):
        figures.f1_against_tolerance({}, tmp_path / "none.png")


def test_a_model_has_one_colour_whatever_stands_beside_it() -> None:
    with_third = figures.model_colours(["frozen", "frozen, offset removed", "adapter"])
    assert [with_third[0], with_third[2]] == figures.model_colours(["frozen", "adapter"])
    assert len(set(with_third)) == 3


def test_training_curves_are_drawn_also_with_missing_values(tmp_path: Path) -> None:
    epoch = {"epoch": 1, "train_loss": 0.5, "validation_f1_P": 0.2, "validation_f1_S": None}
    drawn(figures.training_curves([epoch], tmp_path / "one.png"))
    drawn(figures.training_curves([epoch, {"epoch": 2, "train_loss": 0.4}], tmp_path / "hole.png"))
    drawn(figures.training_curves([{"epoch": 1, "train_loss": 0.5}], tmp_path / "loss.png"))
    with pytest.raises(PhasenoPeftError, match="history"):
        figures.training_curves([], tmp_path / "none.png")


def test_record_section_is_drawn_with_everything_and_with_nothing(tmp_path: Path) -> None:
    w, p = noisy(window(LABELS)), probability(LABELS)
    picks = pick_window(w, p, THRESHOLDS)
    full = sections.record_section(
        w,
        tmp_path / "full.png",
        frozen=picks,
        adapter=picks,
        frozen_probability=p,
        adapter_probability=p,
        distances_km=[3.0, 1.0],
    )
    bare = sections.record_section(w, tmp_path / "bare.png", zoom=False)
    assert drawn(full).sum() != drawn(bare).sum()
    drawn(sections.record_section(window(is_noise=True), tmp_path / "silent.png"))
    with pytest.raises(PhasenoPeftError, match="3 values for 2 stations"):
        sections.record_section(w, tmp_path / "wrong.png", distances_km=[1.0, 2.0, 3.0])


def test_record_section_grows_with_stations_up_to_the_limit(tmp_path: Path) -> None:
    heights = [
        drawn(sections.record_section(noisy(window(LABELS, stations=n)), tmp_path / f"{n}.png", max_stations=6)).shape[
            0
        ]
        for n in (2, 6, 30)
    ]
    assert heights[0] < heights[1] == heights[2]


def test_stations_are_ordered_by_distance_or_first_arrival() -> None:
    w = window({(2, "P"): [100], (0, "P"): [200]}, stations=4)
    assert sections._station_order(w, (), None) == [2, 0, 1, 3]
    assert sections._station_order(w, (), [3.0, 1.0, 2.0, 0.5]) == [3, 1, 2, 0]


def test_zoom_shows_the_arrivals_with_a_second_before_and_two_after() -> None:
    assert sections._shown_samples(window(LABELS), (), True) == (200, 700)
    assert sections._shown_samples(window(LABELS), (), False) == (0, SAMPLES)
    assert sections._shown_samples(window({(0, "P"): [20], (1, "S"): [990]}), (), True) == (0, SAMPLES)


def test_one_component_station_has_one_trace_for_both_phases() -> None:
    trace = np.arange(5.0)
    assert [(c, p) for c, _, p in sections._lanes(np.stack([trace] * 3))] == [("Z", "PS")]
    three = np.stack([trace, 2 * trace, 3 * trace])
    assert [(c, p) for c, _, p in sections._lanes(three)] == [("Z", "P"), ("N", "S")]


def recording(n: int = 6000, stations: int = 3) -> Recording:
    samples = np.random.default_rng(1).normal(0, 1, (stations, 3, n)).astype(np.float32)
    return Recording(
        name="r",
        start=T0,
        rate_hz=100.0,
        stations=tuple(Station(f"XX.S{k}.", 0.0, 0.0, 0.0) for k in range(stations)),
        samples=samples,
        recorded=np.ones_like(samples, bool),
        components=("ENZ",) * stations,
    )


def test_continuous_section_is_drawn_with_two_one_and_no_close_up(tmp_path: Path) -> None:
    picks = PickList([Pick("XX.S0.", "P", T0 + t, 0.9, 0.1) for t in (10, 12, 40)])
    for name, some in (("two", picks), ("one", picks[:1]), ("none", PickList())):
        drawn(sections.continuous_section(recording(), some, tmp_path / f"{name}.png"))
    drawn(sections.continuous_section(recording(), picks, tmp_path / "part.png", first_s=5.0, duration_s=10.0))
    with pytest.raises(PhasenoPeftError, match="nothing to draw"):
        sections.continuous_section(recording(), picks, tmp_path / "late.png", first_s=100.0)


def test_busiest_moments_are_disjoint_and_hold_most_picks() -> None:
    times = np.array([5.0, 100.0, 101.0, 102.0, 200.0, 201.0])
    assert sections._busiest_moments(times, 2, 100.0) == [(99.0, 104.0), (199.0, 203.0)]
    assert sections._busiest_moments(np.zeros(0), 2, 100.0) == []


def test_thinning_keeps_the_extremes() -> None:
    y = np.zeros(100_000)
    y[54_321] = 7.0
    x, thin = sections._thinned(np.arange(100_000) / 100.0, y, points=1000)
    assert len(x) == len(thin) == 2000
    assert thin.max() == 7.0
    assert x[np.argmax(thin)] == pytest.approx(543.21, abs=1.0)


def test_drawing_never_imports_pyplot(tmp_path: Path) -> None:
    had = "matplotlib.pyplot" in sys.modules
    figures.score_bars({"frozen": scored({}), "adapter": scored({})}, tmp_path / "figure.png")
    assert ("matplotlib.pyplot" in sys.modules) == had
