"""Whether out-of-fold scores predict what the adapter that ships does on events nobody used: bias and spread.

    python -m benchmarks.out_of_fold [--events 24] [--held-out 120] [--seeds 3] [--epochs 2] [--ensemble 40]

A campaign of hundreds of events is simulated once. For each seed, `--events` of them are drawn and cross-fitted as
`train-adapter` does; the scores that its card would carry (out of fold) stand beside those of the adapter that ships on
the held-out events, which no seed trains on. `--ensemble N` also judges the mean of the folds' adapters on N of the
held-out events, beside the adapter on the same. One row a seed; then bias and spread over the seeds.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from benchmarks.held_out_campaign import (
    MIN_DISTANCE_S,
    Lean,
    add_options,
    console,
    judged,
    judged_frozen,
    part,
    read,
    recordings_with_labels,
    seconds_since,
    simulated,
    spread,
    train,
    windows_of,
)
from phaseno_peft.backbone import load_backbone
from phaseno_peft.campaign import Window, with_moved_labels
from phaseno_peft.contract import PHASES
from phaseno_peft.cr_lora import selected_adapter
from phaseno_peft.cr_lora.attach import make_resident
from phaseno_peft.cr_lora.resident import prepare_layers
from phaseno_peft.evaluation import Predictions, Scores, score
from phaseno_peft.picking.ensemble import moved_curves
from phaseno_peft.picking.inference import window_probabilities
from phaseno_peft.text_tables import TextTable
from phaseno_peft.training.outcome import Outcome

TOLERANCES_S = (0.1, 0.5)


def ensemble_scores(outcome: Outcome, windows: list[Window], edge_limit_km: float, backbone: str) -> Scores | None:
    """The mean of the folds' adapters, at the adapter's thresholds; None where no update is kept."""
    if not outcome.folds:
        return None
    method = outcome.fitted.recipe.method
    assert method is not None
    model = load_backbone(backbone)
    prepare_layers(model)
    shift_s = outcome.fitted.pick_shift_s
    mean = [np.zeros((len(w.station_ids), len(PHASES), w.waveforms.shape[-1]), np.float32) for w in windows]
    for i, fold in enumerate(outcome.folds):
        with selected_adapter(make_resident(model, str(i), method, fold.tensors, "fold")):
            said = window_probabilities(model, windows, edge_limit_km)
        by_s = {phase: fold.pick_shift_s[phase] - shift_s[phase] for phase in PHASES}
        for total, window, curves in zip(mean, windows, said, strict=True):
            total += moved_curves(curves, by_s, window.rate_hz) / len(outcome.folds)
    found = Predictions(with_moved_labels(windows, shift_s), mean)
    return score(*found, outcome.thresholds, min_distance_s=MIN_DISTANCE_S)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--events", type=int, default=24, help="labelled events of each seed")
    parser.add_argument("--held-out", type=int, default=120, help="events that no seed trains on")
    parser.add_argument("--pool", type=int, default=96, help="events that the seeds draw from")
    parser.add_argument("--ensemble", type=int, default=0, help="held-out windows to judge the folds' mean on")
    options = parser.parse_args()
    started = time.process_time()
    campaign = read(simulated(options, options.pool + options.held_out))
    usable = recordings_with_labels(campaign)
    order = np.random.default_rng(0).permutation(usable)
    held_out, pool = order[: options.held_out], order[options.held_out :]
    windows = windows_of(part(campaign, held_out.tolist()))
    edge_limit_km = campaign.frame.edge_limit_km
    frozen = judged_frozen(options.backbone, windows, edge_limit_km)
    n = sum(len(window.labels) for window in windows)
    console.print(f"{len(held_out)} held-out events, {n} labels; {seconds_since(started)}")
    console.print("frozen on them: " + ", ".join(f"F1 {frozen.mean_f1(t):.3f} at {t} s" for t in TOLERANCES_S))
    lean = Lean(options.epochs, options.windows, options.folds, options.backbone)
    rows: list[list[str]] = []
    apart: dict[float, list[float]] = {t: [] for t in TOLERANCES_S}
    for seed in range(options.seeds):
        own = np.random.default_rng(100 + seed).permutation(pool)[: options.events]
        outcome = train(part(campaign, own.tolist()), lean, seed)
        shipped = judged(outcome, windows, edge_limit_km)
        told = outcome.adapter.test
        row = [str(seed), str(outcome.fitted.kept), f"{outcome.about['folds']['factor']:g}"]
        for t in TOLERANCES_S:
            apart[t].append(told.mean_f1(t) - shipped.mean_f1(t))
            row += [f"{told.mean_f1(t):.3f}", f"{shipped.mean_f1(t):.3f}", f"{apart[t][-1]:+.3f}"]
        if options.ensemble:
            few = windows[:: max(1, len(windows) // options.ensemble)]
            together = ensemble_scores(outcome, few, edge_limit_km, options.backbone)
            alone = judged(outcome, few, edge_limit_km)
            row += [f"{alone.mean_f1(0.1):.3f}", "-" if together is None else f"{together.mean_f1(0.1):.3f}"]
        rows.append(row)
        console.print(f"seed {seed}: {row[1:]}; {seconds_since(started)}")
    heads = [f"{name} {t} s" for t in TOLERANCES_S for name in ("out of fold", "held out", "difference")]
    of_few = ["adapter, few", "folds' mean, few"] if options.ensemble else []
    console.print(TextTable(["seed", "epochs", "factor", *heads, *of_few], rows).markdown())
    for t in TOLERANCES_S:
        console.print(
            f"out of fold minus held out at {t} s: {spread(apart[t])} (mean +- standard deviation over seeds)"
        )
    console.print(seconds_since(started))


if __name__ == "__main__":
    main()
