"""What is written down about an adapter: provenance, figures, notes of its card."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.campaign import (
    Campaign,
    CompleteList,
    LabelledPick,
    Stretch,
    Window,
    pick_times_sha256,
    with_moved_labels,
)
from phaseno_peft.campaign.catalog import made_by
from phaseno_peft.campaign.conventions import CERTAIN, EXTREMA, measure_conventions
from phaseno_peft.contract import NO_SHIFT_S, PHASES, LabelConvention, Provenance
from phaseno_peft.errors import CampaignError
from phaseno_peft.evaluation import Scores, WindowPick, f1_gain, pick_window, score
from phaseno_peft.figures.scores import f1_against_tolerance, residual_histograms, score_bars, training_curves
from phaseno_peft.figures.sections import record_section
from phaseno_peft.library.training_notes import how_replayed
from phaseno_peft.training.dataset import CampaignDataset, training_events
from phaseno_peft.training.fit import Fitted, ModelScores
from phaseno_peft.training.settings import TrainingSettings

LabelSource = Literal["analyst", "automatic", "simulated", "unknown"]


def source_of_labels(campaign: Campaign, claimed: LabelSource) -> LabelSource:
    """Who made the labels: what the user claims, or what every pick is marked as where that is "unknown".

    Raises `CampaignError` where the catalogue marks every pick as automatic, or as simulated, and the user says
    something else.
    """
    labels = _labels(campaign)
    marked = made_by(labels)
    if claimed == "unknown":
        return marked
    if marked in ("unknown", claimed):
        return claimed
    if marked == "simulated":
        advice = "Leave --label-source out."
    else:
        advice = (
            "Leave --label-source out, or set the evaluation status of the picks to reviewed when an analyst has been "
            "through them."
        )
    raise CampaignError(
        f"{campaign.catalogue.source}: all {len(labels)} picks are marked as {marked}{_methods(labels)}, but the "
        f"label source is said to be {claimed!r}. {advice}"
    )


def provenance(
    dataset: CampaignDataset, labels: int | None, label_source: LabelSource, training: TrainingSettings
) -> Provenance:
    """Counts and origins of what one training worked on."""
    campaign, split = dataset.campaign, dataset.split
    used = dataset.train(labels, training.seed)
    n_windows = training.windows(dataset.n_events)
    how = split.how
    if labels is not None:
        how += f" Of the training events the labels of {labels} were used, drawn with seed {training.seed}."
    if dataset.other is not None:
        how += (
            f" Validation is across networks: all {dataset.validation_events} events of {dataset.other.name}, and "
            "noise of this campaign on as many stations; the validation events of this campaign are not used."
        )
    return Provenance(
        campaign=campaign.name,
        label_source=label_source,
        seed=dataset.seed,
        train_events=len(training_events(used)),
        validation_events=len({e for stretch in split.validation for e in stretch.event_ids})
        if dataset.other is None
        else dataset.validation_events,
        test_events=len({e for stretch in split.test for e in stretch.event_ids}),
        train_windows=n_windows,
        train_noise_windows=n_windows // 2 if dataset.sampler(used, training.seed).noise_s else 0,
        train_picks={
            phase: sum(pick.phase == phase and pick.usable for stretch in used for pick in stretch.picks)
            for phase in PHASES
        },
        split=how,
        split_sha256=split.sha256(),
        stations=sorted({station for r in campaign.recordings for station in r.station_ids}),
        pick_times_sha256=pick_times_sha256(
            [*used, *dataset.unlabelled, *(split.validation if dataset.other is None else ())]
        ),
    )


def versions() -> dict[str, str]:
    """Of everything that decides the numbers."""
    names = ("phaseno-peft", "torch", "peft", "safetensors", "numpy", "scipy", "obspy")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def convention(campaign: Campaign, stretches: Sequence[Stretch]) -> LabelConvention:
    """Where the picks were moved to, or what those of both phases follow with certainty; else "unknown"."""
    if campaign.picks_on is not None:
        return campaign.picks_on
    found = measure_conventions(stretches).values()
    agreed: set[LabelConvention] = {each.convention if each.certainty >= CERTAIN else "unknown" for each in found}
    return agreed.pop() if len(agreed) == 1 else "unknown"


def on_extrema(campaign: Campaign, stretches: Sequence[Stretch], given: LabelConvention | None = None) -> bool:
    """Whether the picks of a phase sit on peaks or troughs: as `given`, as they were moved, or with certainty."""
    said = given or campaign.picks_on
    if said is not None:
        return said in EXTREMA
    return any(f.convention in EXTREMA and f.certainty >= CERTAIN for f in measure_conventions(stretches).values())


def score_without_offset(
    dataset: CampaignDataset, frozen: ModelScores, pick_shift_s: Mapping[str, float] = NO_SHIFT_S
) -> Scores:
    """A model with its median residual of the validation events taken off; of the frozen backbone the cheapest rival.

    `pick_shift_s` was put back on its picks already.
    """
    medians_s = {phase: frozen.validation.phase(phase, 0.5).residual_median_s for phase in PHASES}
    shift_s = {p: pick_shift_s[p] - (m if np.isfinite(m) else 0.0) for p, m in medians_s.items()}
    moved = with_moved_labels(dataset.test, shift_s)
    min_distance_s = frozen.test.min_distance_s
    return score(moved, frozen.test_probabilities, frozen.thresholds, min_distance_s=min_distance_s)


def window_to_show(test: Sequence[Window]) -> Window:
    """The held-out window with most labels."""
    return max(test, key=lambda window: len(window.labels))


def captions(fitted: Fitted) -> dict[str, str]:
    """Caption on the card -> figure."""
    figures = {
        "A held-out event: catalogue, frozen backbone and adapter": "figures/record_section.png",
        "Scores on the held-out windows": "figures/scores.png",
        "Residuals on the held-out windows": "figures/residuals.png",
    }
    return figures | ({"Training": "figures/training.png"} if len(fitted.history) > 1 else {})


def draw(
    folder: Path,
    dataset: CampaignDataset,
    fitted: Fitted,
    frozen: ModelScores,
    adapter: ModelScores,
    pick_shifts_s: Sequence[Mapping[str, float]] = (),
) -> dict[str, Path]:
    """Figures of an adapter: name in its folder -> file in `folder`.

    `pick_shifts_s` [test window] is what the picks there are moved by, if not by `fitted`'s.
    """
    section = window_to_show(dataset.test)
    i = [window.name for window in dataset.test].index(section.name)
    before, after = frozen.test_probabilities[i], adapter.test_probabilities[i]
    shift_s = pick_shifts_s[i] if pick_shifts_s else fitted.pick_shift_s
    of_frozen, of_adapter = (found.test.window_thresholds[i] for found in (frozen, adapter))
    scores = {"frozen": frozen.test, "adapter": adapter.test}
    paths = {
        "figures/record_section.png": record_section(
            section,
            folder / "record_section.png",
            frozen=pick_window(section, before, of_frozen),
            adapter=_given_out(section, pick_window(section, after, of_adapter), shift_s),
            frozen_probability=before,
            adapter_probability=_moved_curves(section, after, shift_s),
        ),
        "figures/scores.png": score_bars(scores, folder / "scores.png"),
        "figures/residuals.png": residual_histograms(frozen.test, adapter.test, folder / "residuals.png"),
        "figures/tolerance.png": f1_against_tolerance(scores, folder / "tolerance.png"),
    }
    if len(fitted.history) > 1:
        curves = [dataclasses.asdict(epoch) for epoch in fitted.history]
        paths["figures/training.png"] = training_curves(curves, folder / "training.png", kept=fitted.kept)
    return paths


def _given_out(window: Window, picks: Sequence[WindowPick], pick_shift_s: Mapping[str, float]) -> list[WindowPick]:
    """Picks of the network where the adapter gives them out."""
    samples = [pick_shift_s[phase] * window.rate_hz for phase in PHASES]
    return [dataclasses.replace(pick, sample=pick.sample + samples[pick.phase]) for pick in picks]


def _moved_curves(
    window: Window, probability: NDArray[np.float32], pick_shift_s: Mapping[str, float]
) -> NDArray[np.float32]:
    """Probabilities [station, 2, sample] where the adapter gives picks out, to the sample."""
    moved, n = probability.copy(), probability.shape[-1]
    for phase, name in enumerate(PHASES):
        at = np.arange(n) - round(pick_shift_s[name] * window.rate_hz)
        moved[:, phase] = probability[:, phase, np.clip(at, 0, n - 1)]
    return moved


_MISSING_PICK = {
    "station": "At a station with a pick of an event, a phase without one was taken as absent, in training and scores.",
    "event": "The catalogue was taken as complete: what it does not list was taken as absent, in training and scores.",
}


def notes(
    dataset: CampaignDataset,
    frozen: ModelScores,
    adapter: ModelScores,
    fitted: Fitted,
    forgetting: Mapping[str, Scores],
) -> list[str]:
    """Sentences for the card."""
    campaign, lines = dataset.campaign, []
    for phase in PHASES:
        gain, low, high = f1_gain(frozen.test, adapter.test, phase)
        lines.append(
            f"{phase}: F1 at 0.5 s changes by {gain:+.3f} (95 % {low:+.3f} to {high:+.3f}, bootstrap over events)."
        )
    before, after = forgetting["frozen"].mean_f1(0.5), forgetting["adapter"].mean_f1(0.5)
    lines.append(
        f"Away from its campaign the adapter changes the mean F1 from {before:.3f} to {after:.3f} (simulated networks, "
        "the kind the embedded backbone was pre-trained on). Switched off, the network is the frozen one, bit for bit."
    )
    if fitted.training.replay:
        lines.append(how_replayed(fitted.training.replay))
    if fitted.kept == 0:
        is_moved = any(fitted.pick_shift_s.values())
        lines.append(
            "Training never beat the frozen backbone on validation: this adapter is the frozen backbone"
            f"{', its picks moved as said above' if is_moved else ''}."
        )
    if isinstance(campaign.complete, CompleteList):
        n_stations, n_events = len(campaign.complete.stations), len(campaign.complete.events)
        lines.append(
            f"At {n_stations} stations, and for {n_events} events at all stations, what the catalogue does not list "
            "was taken as absent, in training and scores; elsewhere it was unknown."
        )
    elif campaign.complete in _MISSING_PICK:
        lines.append(_MISSING_PICK[campaign.complete])
    if campaign.noise_times is not None:
        lines.append("Noise windows come from times that were chosen, not from everywhere between the events.")
    if dataset.training_noise is not None:
        lines.append(
            "Training's noise windows come from stretches in which the frozen network saw nothing; those of the scores "
            "from everywhere between the events."
        )
    labels = _labels(campaign)
    automatic = [pick for pick in labels if pick.is_automatic]
    if automatic:
        lines.append(
            f"{len(automatic)} of {len(labels)} labels are automatic{_methods(automatic)}: their errors are learnt as "
            "truth, and the scores say how well the adapter agrees with that picker, not with an analyst."
        )
    stations = {station_id for recording in campaign.recordings for station_id in recording.station_ids}
    if len(stations) == 1:
        lines.append(
            f"One station recorded, {stations.pop()}: it has no neighbours to hear, so that this adapter has learnt "
            "nothing of how stations of a network help each other."
        )
    events = {e for r in campaign.stretches() for e in r.event_ids}
    if len(events) < 50:
        lines.append(
            f"Only {len(events)} events in all: the intervals above are wide, and one event more can move the scores."
        )
    return lines


def _labels(campaign: Campaign) -> list[LabelledPick]:
    return [pick for stretch in campaign.stretches() for pick in stretch.picks if pick.usable]


def _methods(picks: Sequence[LabelledPick]) -> str:
    named = sorted({pick.method for pick in picks if pick.method})
    shown = ", ".join(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")
    return f" (method {shown})" if named else ""
