"""Judge of a backbone: zero-shot scores beside the original PhaseNet and STA/LTA, what the graph gives, robustness.

    python -m benchmarks.judge_backbone DATA --backbone NAME --phasenet-weights FILE --out FOLDER

DATA holds the recordings as the project's owner keeps them: singlestation/ncedc (SeisBench format),
continuous/ridgecrest-2019, campaigns/samba-nz and campaigns/iceland-vt. Prints every table, and writes `judge.md` and
`scores.csv`. Without --phasenet-weights the original PhaseNet is left out; with them, `pip install
'phaseno-peft[rivals]'` first.

All models get the very same windows (100 Hz, high-passed, normalised). Thresholds are cross-fitted: the windows are
parted into two halves, each half is picked at the thresholds with the best F1 (0.5 s) on the other. The same table at
default thresholds follows. Catalogues of campaigns miss arrivals; which picks count as false is said in
`phaseno_peft.evaluation.metrics`.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import json
import logging
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from obspy import Stream, Trace, UTCDateTime

from phaseno_peft.backbone import EMBEDDED, backbone_info, load_backbone
from phaseno_peft.baselines import load_rivals
from phaseno_peft.campaign import (
    Campaign,
    LabelledPick,
    Station,
    StationTable,
    Stretch,
    Window,
    cut_window,
    fixed_windows,
    measure_label_offset,
    normalise,
    prepare,
    prepare_recordings,
    read_stations,
    read_waveforms,
)
from phaseno_peft.campaign.stretch import make_stretch
from phaseno_peft.contract import PHASES, Frame, Preprocessing
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.evaluation import Predictions, Scores, choose_thresholds, cross_fitted_scores, f1_gain, score
from phaseno_peft.files import write_file
from phaseno_peft.picking.inference import window_probabilities
from phaseno_peft.simulation import simulate_network_windows
from phaseno_peft.text_tables import TextTable
from phaseno_peft.training.forgetting import simulated_window

Probabilities = list[NDArray[np.float32]]
Thresholds = Mapping[str, float]
EDGE_LIMIT_KM = 30.0
SEED = 20190703
TOLERANCES_S = (0.5, 0.1)
HELD_OUT = 0.15
"""Last part of a continuous set that no pre-training may see."""
CAMPAIGNS = ("samba-nz", "iceland-vt")
DEGRADED_SNR = (6.0, 40.0)
"""Peak amplitude over standard deviation of the added noise, drawn evenly in its logarithm for each station."""
EQUAL_PRECISIONS = (0.8, 0.9, 0.95)


@dataclass(frozen=True)
class Model:
    name: str
    run: Callable[[Sequence[Window]], Probabilities]
    thresholds: Thresholds


@dataclass
class Report:
    """What was said so far, as Markdown, and the rows of scores.csv."""

    text: io.StringIO = field(default_factory=io.StringIO)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def say(self, line: str = "") -> None:
        print(line, flush=True)
        self.text.write(line + "\n")

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        self.say(TextTable(header, rows, n_left=len(header)).markdown())


# ------------------------------------------------------------------------------------------------- windows


def ncedc(data: Path) -> list[Stretch]:
    """The 25 dev records, one stretch each."""
    try:
        import h5py
    except ImportError as error:
        raise PhasenoPeftError("reading the ncedc records needs h5py. Install it: pip install h5py") from error
    folder, stretches = data / "singlestation" / "ncedc", []
    with h5py.File(folder / "waveforms.hdf5") as file, (folder / "metadata.csv").open() as table:
        for row in csv.DictReader(table):
            if row["split"] != "dev":
                continue
            name, start = row["trace_name"], UTCDateTime(2000, 1, 1)
            stream = Stream()
            for component, samples in zip("ZNE", np.asarray(file["data"][name]), strict=True):
                if component in row["trace_components_present"]:
                    header = {"network": "XX", "station": "A", "channel": f"HH{component}", "sampling_rate": 100.0}
                    stream += Trace(samples.astype(np.float64), {**header, "starttime": start})
            recording = prepare(stream, StationTable([Station("XX.A.", 0.0, 0.0, 0.0)]), name=name)
            picks = [
                LabelledPick(f"{name}/{phase}", name, "XX.A.", phase, start + int(row[column]) / 100.0, None, True)
                for phase, column in (("P", "trace_p_arrival_sample"), ("S", "trace_s_arrival_sample"))
            ]
            stretches.append(make_stretch(recording, picks))
    return stretches


def ridgecrest(data: Path) -> tuple[list[Window], str]:
    """The last part of the hour, cut without overlap; the published picks are the labels, and all there are."""
    folder = data / "continuous" / "ridgecrest-2019"
    table = read_stations(folder / "stations.xml")
    (whole,), _ = prepare_recordings(read_waveforms(folder / "waveforms"), table, Preprocessing())
    recording = whole.slice(round((1 - HELD_OUT) * whole.n_samples), whole.n_samples)
    picks = []
    for number, raw in enumerate(json.loads((folder / "published_picks.json").read_text())):
        network, code = raw["id"].split(".")[:2]
        station = table.find(f"{network}.{code}.")
        if station is None:
            raise PhasenoPeftError(
                f"published_picks.json: pick {number} is for {raw['id']}, which is not in the table."
            )
        name = f"teacher/{number}"
        picks.append(
            LabelledPick(name, name, station.station_id, raw["type"].upper(), UTCDateTime(raw["timestamp"]), None, True)
        )
    stretch = make_stretch(recording, sorted(picks, key=lambda pick: pick.time), complete="event")
    starts = range(0, recording.n_samples - 2999, 3000)
    frame = table.frame(EDGE_LIMIT_KM)
    windows = [cut_window(stretch, start, frame, Preprocessing()) for start in starts]
    return windows, f"the last {HELD_OUT:.0%} of the hour, {len(windows)} windows of 30 s on 3 vertical stations"


def campaign_windows(data: Path, name: str) -> tuple[list[Window], str]:
    """One window an event and as many of noise, with the measured offset of the labels taken off."""
    folder = data / "campaigns" / name
    campaign = Campaign.read(folder / "waveforms", folder / "stations.xml", folder / "picks.xml", name=name)
    before = measure_label_offset(campaign.stretches())
    shift_s = {phase: before[phase].median_s or 0.0 for phase in PHASES}
    events = tuple(
        dataclasses.replace(
            event, picks=tuple(dataclasses.replace(p, time=p.time + shift_s[p.phase]) for p in event.picks)
        )
        for event in campaign.catalogue.events
    )
    moved = dataclasses.replace(campaign, catalogue=dataclasses.replace(campaign.catalogue, events=events))
    after = measure_label_offset(moved.stretches())
    said = ", ".join(
        f"{phase} {1000 * shift_s[phase]:+.0f} ms (n = {before[phase].n}; {1000 * (after[phase].median_s or 0):+.0f} "
        "ms left)"
        for phase in PHASES
    )
    windows = fixed_windows(moved.stretches(), moved.frame, moved.preprocessing, SEED)
    return windows, f"all events; labels moved by their measured offset: {said}"


def only(window: Window, rows: Sequence[int]) -> Window:
    """The window with these stations, in this order."""
    place = {row: i for i, row in enumerate(rows)}
    labels = [dataclasses.replace(x, station=place[x.station]) for x in window.labels if x.station in place]
    return dataclasses.replace(
        window,
        station_ids=tuple(window.station_ids[row] for row in rows),
        waveforms=window.waveforms[list(rows)],
        coordinates=window.coordinates[list(rows)],
        labels=tuple(labels),
        targets=window.targets[list(rows)],
        known=window.known[list(rows)],
    )


def vertical_only(window: Window) -> Window:
    """Every station with its vertical alone, in all three slots."""
    waveforms = np.repeat(window.waveforms[:, 2:], 3, axis=1)
    return dataclasses.replace(window, waveforms=waveforms)


def degraded(window: Window, noise: Sequence[Window], rng: np.random.Generator) -> Window:
    """The window with real noise added to each station until its arrivals' peak is 6 to 40 standard deviations high."""
    peaks = np.full(len(window.station_ids), np.nan)
    for station in range(len(peaks)):
        samples = [label.sample for label in window.labels if label.station == station]
        if samples:
            first, last = max(0, round(min(samples)) - 10), round(max(samples)) + 100
            peaks[station] = np.abs(window.waveforms[station, :, first:last]).max()
    peaks = np.where(np.isfinite(peaks), peaks, np.nanmedian(peaks))
    low, high = np.log(DEGRADED_SNR)
    level = peaks / np.exp(rng.uniform(low, high, len(peaks)))
    added = np.zeros_like(window.waveforms)
    for station, waveforms in enumerate(window.waveforms):
        source = noise[int(rng.integers(len(noise)))].waveforms
        piece = source[int(rng.integers(len(source)))]
        one = all(np.array_equal(waveforms[c], waveforms[2]) for c in (0, 1))
        piece = np.repeat(piece[2:], 3, axis=0) if one else piece
        added[station] = level[station] * piece / max(float(piece.std()), 1e-9)
    mixed = np.where(window.waveforms != 0, window.waveforms + added, 0.0)
    return dataclasses.replace(window, waveforms=normalise(mixed, mixed != 0))


# -------------------------------------------------------------------------------------------------- scoring


def fitted_on_halves(windows: Sequence[Window], found: Probabilities) -> Scores:
    """Each half of the windows, every other one, at the thresholds that are best on the other half."""
    halves = [i % 2 for i in range(len(windows))]
    return cross_fitted_scores(Predictions(windows, found), halves, spare_picks=0, tolerances_s=TOLERANCES_S, seed=SEED)


def interval(values: Sequence[float], statistic: Callable[[NDArray[np.float64]], Any]) -> tuple[float, float]:
    """95 % bootstrap interval of a statistic [draw] over residuals."""
    if not len(values):
        return math.nan, math.nan
    draws = np.random.default_rng(SEED).choice(np.asarray(values), (1000, len(values)))
    low, high = np.quantile(statistic(draws), [0.025, 0.975])
    return float(low), float(high)


def mad(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1.4826 * np.median(np.abs(x - np.median(x, -1, keepdims=True)), -1))


def ms(value_s: float) -> str:
    return "-" if math.isnan(value_s) else f"{1000 * value_s + 0:.0f}"


def score_table(report: Report, where: str, thresholds: str, scores: Mapping[str, Scores]) -> None:
    rows = []
    for phase in PHASES:
        for tolerance in TOLERANCES_S:
            for model, found in scores.items():
                one = found.phase(phase, tolerance)
                median = interval(one.residuals_s, lambda x: np.median(x, -1))
                spread = interval(one.residuals_s, mad)
                rows.append(
                    (
                        phase,
                        f"{tolerance:g}",
                        model,
                        f"{one.threshold:.2f}",
                        f"{one.precision:.3f}",
                        f"{one.recall:.3f}",
                        f"{one.f1:.3f} [{one.f1_95[0]:.3f}, {one.f1_95[1]:.3f}]",
                        f"{one.tp}/{one.fp}/{one.fn}",
                        f"{ms(one.residual_median_s)} [{ms(median[0])}, {ms(median[1])}]",
                        f"{ms(one.residual_mad_s)} [{ms(spread[0])}, {ms(spread[1])}]",
                    )
                )
                report.rows.append(
                    {
                        "set": where,
                        "thresholds": thresholds,
                        "model": model,
                        "phase": phase,
                        "tolerance_s": tolerance,
                        **{k: v for k, v in one.summary().items() if k not in ("f1_95", "accuracy", "tn")},
                        "f1_low": one.f1_95[0],
                        "f1_high": one.f1_95[1],
                        "residual_median_low_s": median[0],
                        "residual_median_high_s": median[1],
                        "residual_mad_low_s": spread[0],
                        "residual_mad_high_s": spread[1],
                    }
                )
    header = ("phase", "within s", "model", "threshold", "precision", "recall", "F1 [95 %]", "TP/FP/FN")
    report.table((*header, "median ms [95 %]", "MAD ms [95 %]"), rows)


def precision_recall(windows: Sequence[Window], found: Probabilities) -> list[tuple[float, Scores]]:
    grid = np.round(np.arange(0.05, 0.96, 0.025), 3)
    return [(float(t), score(windows, found, dict.fromkeys(PHASES, float(t)), tolerances_s=(0.5,))) for t in grid]


def hits(scores: Scores, phase: str) -> NDArray[np.int64]:
    """[window] true positives at 0.5 s."""
    tally = scores.tallies[phase]
    near = np.abs(tally.match_residual_s) <= 0.5 + 1e-9
    return np.bincount(np.asarray(tally.match_window, int)[near], minlength=scores.n_windows)


# ------------------------------------------------------------------------------------------------- sections


def zero_shot(report: Report, models: Sequence[Model], where: str, about: str, windows: Sequence[Window]) -> None:
    labels = {phase: sum(x.phase == i for w in windows for x in w.labels) for i, phase in enumerate(PHASES)}
    report.say(f"### {where}")
    report.say()
    report.say(
        f"{about}. {len(windows)} windows ({sum(w.is_noise for w in windows)} of them noise), "
        f"{sum(len(w.station_ids) for w in windows)} station-windows, {labels['P']} P and {labels['S']} S labels."
    )
    report.say()
    found, seconds = {}, {}
    for model in models:
        start = time.perf_counter()
        found[model.name] = model.run(windows)
        seconds[model.name] = time.perf_counter() - start
    fitted = {model.name: fitted_on_halves(windows, found[model.name]) for model in models}
    report.say("Thresholds cross-fitted:")
    report.say()
    score_table(report, where, "cross-fitted", fitted)
    report.say("Default thresholds:")
    report.say()
    default = {m.name: score(windows, found[m.name], m.thresholds, tolerances_s=TOLERANCES_S) for m in models}
    score_table(report, where, "default", default)
    rows = []
    first, *others = models
    for other in others:
        for phase in PHASES:
            for tolerance in TOLERANCES_S:
                gain, low, high = f1_gain(fitted[other.name], fitted[first.name], phase, tolerance)
                rows.append(
                    (f"{first.name} - {other.name}", phase, f"{tolerance:g}", f"{gain:+.3f} [{low:+.3f}, {high:+.3f}]")
                )
    report.table(("difference", "phase", "within s", "F1 [95 %, paired]"), rows)
    total = sum(len(w.station_ids) for w in windows)
    report.say("Station-windows a second: " + ", ".join(f"{n} {total / s:.0f}" for n, s in seconds.items()) + ".")
    report.say()


def graph_gain(report: Report, whole: Model, alone: Model, where: str, windows: Sequence[Window]) -> None:
    curves = {m.name: precision_recall(windows, m.run(windows)) for m in (alone, whole)}
    rows = []
    for phase in PHASES:
        for wanted in EQUAL_PRECISIONS:
            best = {
                name: max(
                    (s for _, s in curve if s.phase(phase).precision >= wanted),
                    key=lambda s: s.phase(phase).recall,
                    default=None,
                )
                for name, curve in curves.items()
            }
            cells = [
                "-" if s is None else f"{s.phase(phase).recall:.3f} ({s.phase(phase).precision:.3f})"
                for s in best.values()
            ]
            a, b = best.values()
            gain = "-"
            if a is not None and b is not None:
                labels = np.array(a.tallies[phase].labels)
                difference = hits(b, phase) - hits(a, phase)
                draws = np.random.default_rng(SEED).integers(len(labels), size=(1000, len(labels)))
                low, high = np.quantile(difference[draws].sum(1) / np.maximum(labels[draws].sum(1), 1), [0.025, 0.975])
                gain = f"{difference.sum() / labels.sum():+.3f} [{low:+.3f}, {high:+.3f}]"
            rows.append((phase, f"{wanted:g}", *cells, gain))
        top = {name: max(s.phase(phase).f1 for _, s in curve) for name, curve in curves.items()}
        rows.append(
            (phase, "best F1", *(f"{v:.3f}" for v in top.values()), f"{top[whole.name] - top[alone.name]:+.3f}")
        )
    stations = sorted(len(w.station_ids) for w in windows)
    n_labels = sum(len(w.labels) for w in windows)
    report.say(f"{where}: {len(windows)} windows of {stations[0]} to {stations[-1]} stations, {n_labels} labels.")
    report.say()
    report.table(
        ("phase", "precision at least", f"recall (precision) of {alone.name}", f"of {whole.name}", "gain [95 %]"), rows
    )


def where_p_lies(
    report: Report, models: Sequence[Model], stretches: Sequence[Stretch], at: Mapping[str, Thresholds]
) -> None:
    rows = []
    frame = Frame(0.0, 0.0, EDGE_LIMIT_KM)
    for second in range(1, 30):
        windows = []
        for stretch in stretches:
            p = next(pick for pick in stretch.picks if pick.phase == "P")
            first = round(stretch.recording.index_of(p.time)) - 100 * second
            windows.append(cut_window(stretch, first, frame, Preprocessing()))
        row: list[object] = [second]
        for model in models:
            found = score(windows, model.run(windows), at[model.name]).phase("P", 0.5)
            row += [f"{found.recall:.2f}", found.fp, ms(found.residual_median_s), ms(found.residual_mad_s)]
        rows.append(row)
    header = [f"{model.name}: {what}" for model in models for what in ("P recall", "FP", "median ms", "MAD ms")]
    report.table(("P at s", *header), rows)


def one_component(report: Report, models: Sequence[Model], sets: Mapping[str, Sequence[Window]]) -> None:
    rows = []
    for where, windows in sets.items():
        full = [w for w in windows if not any(np.array_equal(x[0], x[2]) for x in w.waveforms)]
        for what, given in (("E, N, Z", full), ("Z alone", [vertical_only(w) for w in full])):
            for model in models:
                found = fitted_on_halves(given, model.run(given))
                cells = [f"{found.phase(phase, t).f1:.3f}" for phase in PHASES for t in TOLERANCES_S]
                rows.append((where, len(full), what, model.name, *cells))
    report.table(("set", "windows", "input", "model", "P F1 0.5 s", "P 0.1 s", "S F1 0.5 s", "S 0.1 s"), rows)


def number_of_stations(
    report: Report, model: Model, sets: Mapping[str, Sequence[Window]], at: Mapping[str, Thresholds]
) -> None:
    """Every station of every event window is scored once for each n, in a random group of n."""
    rows = []
    for n in range(1, 13):
        row: list[object] = [n]
        for where, windows in sets.items():
            rng, groups = np.random.default_rng(SEED), []
            for window in windows:
                order = [int(i) for i in rng.permutation(len(window.station_ids))]
                if len(order) >= n:
                    groups += [only(window, order[i : i + n]) for i in range(0, len(order) - n + 1, n)]
            if not groups:
                row += ["-"] * 5
                continue
            found = score(groups, model.run(groups), at[where])
            cells = [f"{found.phase(phase, t).f1:.3f}" for phase in PHASES for t in TOLERANCES_S]
            row += [sum(len(g.labels) for g in groups), *cells]
        rows.append(row)
    what = ("labels", "P F1 0.5 s", "P 0.1 s", "S F1 0.5 s", "S 0.1 s")
    report.table(("stations", *(f"{where}: {one}" for where in sets for one in what)), rows)


def judge(arguments: argparse.Namespace, report: Report) -> None:
    model, card = load_backbone(arguments.backbone), backbone_info(arguments.backbone)
    whole = Model(card.name, lambda w: window_probabilities(model, w, EDGE_LIMIT_KM), card.thresholds)
    alone = Model("self-loops only", lambda w: window_probabilities(model, w, 0.0), card.thresholds)
    rivals = load_rivals(
        "stalta" if arguments.phasenet_weights is None else "phasenet,stalta", arguments.phasenet_weights
    )
    others = [Model(r.name, r.probabilities, r.thresholds) for r in rivals]
    report.say(f"# Judge of {card.name}")
    report.say()
    report.say(
        f"Fingerprint {card.fingerprint[:16]}; {card.n_parameters:,} parameters; edges up to {EDGE_LIMIT_KM:g} km. "
        "Thresholds cross-fitted on halves of the windows; 95 % by bootstrap (F1 over windows, residuals over picks); "
        "residual = pick - label within the tolerance; MAD times 1.4826."
    )
    report.say()
    report.say("## Zero-shot scores")
    report.say()
    records = ncedc(arguments.data)
    frame = Frame(0.0, 0.0, EDGE_LIMIT_KM)
    sets: dict[str, list[Window]] = {"ncedc dev": fixed_windows(records, frame, Preprocessing(), SEED, 0.0)}
    about = {"ncedc dev": "Analyst's labels, one window a record, P and S at random places in it"}
    sets["ridgecrest-2019"], about["ridgecrest-2019"] = ridgecrest(arguments.data)
    about["ridgecrest-2019"] = f"Against the published picks of PhaseNO on 36 nodes: {about['ridgecrest-2019']}"
    for name in CAMPAIGNS:
        sets[name], about[name] = campaign_windows(arguments.data, name)
    for where, windows in sets.items():
        single = all(len(w.station_ids) == 1 for w in windows)
        zero_shot(report, [whole, *([] if single else [alone]), *others], where, about[where], windows)

    report.say("## What the graph gives")
    report.say()
    report.say(
        "Windows of at least five stations, real noise of samba-nz added until the peak of each station's arrivals is "
        f"{DEGRADED_SNR[0]:g} to {DEGRADED_SNR[1]:g} standard deviations of it. Recall at 0.5 s, each network at the "
        "threshold where it reaches the precision."
    )
    report.say()
    noise = [w for w in sets["samba-nz"] if w.is_noise]
    for name in CAMPAIGNS:
        rng = np.random.default_rng(SEED)
        five = [w for w in sets[name] if len(w.station_ids) >= 5 and w.labels]
        graph_gain(report, whole, alone, f"{name}, as it is", five)
        graph_gain(report, whole, alone, f"{name}, degraded", [degraded(w, noise, rng) for w in five])
    rng = np.random.default_rng(SEED)
    made = simulate_network_windows(rng, None, arguments.simulated, stations=8)
    clean = [w for i in range(arguments.simulated) if (w := simulated_window(made, i, f"simulated@{i}")).labels]
    graph_gain(report, whole, alone, "simulated networks, as they are", clean)
    graph_gain(report, whole, alone, "simulated networks, degraded", [degraded(w, noise, rng) for w in clean])

    at = {
        m.name: choose_thresholds(sets["ncedc dev"], m.run(sets["ncedc dev"]), spare_picks=0) for m in (whole, *others)
    }
    report.say("## Where P lies in the window")
    report.say()
    report.say(
        "The 25 ncedc dev records, P at each second; thresholds: the best on the windows above, one pair a model."
    )
    report.say()
    where_p_lies(report, [whole, *others], records, at)
    report.say("## One component")
    report.say()
    report.say("Windows whose stations all have three components; thresholds cross-fitted for each input.")
    report.say()
    one_component(report, [whole, *others], {name: sets[name] for name in ("ncedc dev", "iceland-vt")})
    report.say("## Number of stations")
    report.say()
    report.say(
        "Event windows, their stations dealt into random groups of n that hear each other; groups that would be "
        "smaller are left out. Thresholds: the best with all stations."
    )
    report.say()
    events = {name: [w for w in sets[name] if w.labels] for name in CAMPAIGNS}
    best = {name: choose_thresholds(windows, whole.run(windows), spare_picks=0) for name, windows in events.items()}
    number_of_stations(report, whole, events, best)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judge_backbone", description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="Folder with singlestation/, continuous/ and campaigns/.")
    parser.add_argument("--backbone", default=EMBEDDED, help="Name or folder. Default: the embedded one.")
    parser.add_argument("--phasenet-weights", help="Safetensors file of the original PhaseNet, or a name of SeisBench.")
    parser.add_argument("--out", type=Path, help="Folder for judge.md and scores.csv.")
    parser.add_argument("--simulated", type=int, default=48, help="Simulated networks for the gain of the graph.")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    report = Report()
    try:
        judge(arguments, report)
        if arguments.out is not None:
            arguments.out.mkdir(parents=True, exist_ok=True)
            write_file(arguments.out / "judge.md", report.text.getvalue())
            table = io.StringIO()
            writer = csv.DictWriter(table, list(report.rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(report.rows)
            write_file(arguments.out / "scores.csv", table.getvalue())
    except (PhasenoPeftError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
