"""What `train-adapter --unlabelled` brings, with the labels of the archive held back.

    python -m benchmarks.semi_supervised [--campaign FOLDER] [--labelled 8] [--archive 16] [--held-out 24] [--seeds 2]

Of a simulated campaign (or of a picked one in FOLDER) some events are held out, `--labelled` train with their labels,
and `--archive` are given as records that nobody picked. Rows: the frozen backbone, the adapter of the labelled events
alone, the one that trained beside the pseudo-labels whether or not the rule would keep it, and one that had the
archive's true labels, the most there is to gain; mean F1 of P and S on the held-out events at each adapter's own
thresholds. `right` is the part of the pseudo-labels within 0.5 s of a true one. With `--unpicked FOLDER` (waveforms)
the archive is that.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import numpy as np

from benchmarks.held_out_campaign import (
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
    train,
    windows_of,
)
from phaseno_peft.campaign import Campaign, Stretch
from phaseno_peft.library import read_contract
from phaseno_peft.library.resolve import find_adapter
from phaseno_peft.text_tables import TextTable
from phaseno_peft.training.outcome import Outcome
from phaseno_peft.training.unlabelled import PseudoLabelled, Unlabelled, pseudo_labelled

TOLERANCES_S = (0.1, 0.5)


def pseudo_labels(
    outcome: Outcome, own: Campaign, source: Unlabelled, backbone: str, fingerprint: str
) -> PseudoLabelled:
    """What the outcome's adapters agree on in an archive."""
    contract = dataclasses.replace(
        read_contract(find_adapter("ohio-frac").folder),  # thresholds, preprocessing and place are replaced
        backbone_fingerprint=fingerprint,
        preprocessing=own.preprocessing,
        frame=own.frame,
        thresholds=dict(outcome.thresholds),
        pick_shift_s=outcome.fitted.pick_shift_s,
    )
    return pseudo_labelled(source, outcome, contract, own, backbone, 0, console.print)


def right(stretches: tuple[Stretch, ...], truth: Campaign) -> float:
    """Part of the labels that lie within 0.5 s of a label of the truth."""
    times: dict[tuple[str, str], list[float]] = {}
    for pick in truth.catalogue.picks:
        times.setdefault((pick.station_id, pick.phase), []).append(float(pick.time.timestamp))
    near = [
        min((abs(float(p.time.timestamp) - t) for t in times.get((p.station_id, p.phase), [])), default=np.inf) <= 0.5
        for stretch in stretches
        for p in stretch.picks
        if p.usable
    ]
    return float(np.mean(near)) if near else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--campaign", type=Path, default=None)
    parser.add_argument("--unpicked", type=Path, default=None, help="waveforms of the same network without picks")
    parser.add_argument("--labelled", type=int, default=8)
    parser.add_argument("--archive", type=int, default=16)
    parser.add_argument("--held-out", type=int, default=24)
    options = parser.parse_args()
    started = time.process_time()
    n_events = options.labelled + options.archive + options.held_out
    folder = options.campaign or simulated(options, n_events)
    campaign = read(folder)
    lean = Lean(options.epochs, options.windows, options.folds, options.backbone)
    usable = recordings_with_labels(campaign)
    edge_limit_km = campaign.frame.edge_limit_km
    rows: list[list[str]] = []
    for seed in range(options.seeds):
        order = np.random.default_rng(seed).permutation(usable).tolist()
        held_out, rest = order[: options.held_out], order[options.held_out :]
        labelled, hidden = rest[: options.labelled], rest[options.labelled :][: options.archive]
        windows = windows_of(part(campaign, held_out))
        files = [folder / "waveforms" / f"{campaign.recordings[i].name}.mseed" for i in hidden]
        own = part(campaign, labelled)
        alone = train(own, lean, seed)
        source = Unlabelled(options.unpicked or files)
        fingerprint = read_contract(find_adapter("ohio-frac").folder).backbone_fingerprint
        found = pseudo_labels(alone, own, source, options.backbone, fingerprint)
        share = "" if options.unpicked else f"; right {right(found.all, campaign):.2f}"
        outcomes = {"labelled alone": alone, "beside pseudo-labels": train(own, lean, seed, found)}
        if not options.unpicked:
            outcomes["with true labels"] = train(part(campaign, [*labelled, *hidden]), lean, seed)
        frozen = judged_frozen(options.backbone, windows, edge_limit_km)
        rows.append([str(seed), "frozen", "", *(f"{frozen.mean_f1(t):.3f}" for t in TOLERANCES_S)])
        for name, outcome in outcomes.items():
            scores = judged(outcome, windows, edge_limit_km)
            told = outcome.adapter.validation
            inside = f"{0.5 * (told.mean_f1(0.5) + told.mean_f1(0.1)):.3f}"
            rows.append([str(seed), name, inside, *(f"{scores.mean_f1(t):.3f}" for t in TOLERANCES_S)])
        console.print(f"seed {seed}: {found.counts}{share}; {seconds_since(started)}")
        console.print(rows[-1 - len(outcomes) :])
    columns = ["seed", "trained on", "out of fold", *(f"F1 {t} s" for t in TOLERANCES_S)]
    console.print(TextTable(columns, rows, n_left=2).markdown())
    console.print(seconds_since(started))


if __name__ == "__main__":
    main()
