"""Do stated uncertainties of picks hold on events that neither trained nor calibrated?

    python -m benchmarks.coverage FOLDER [FOLDER ...] [--folds 4]

Each FOLDER holds waveforms/, stations.xml and picks.xml. The frozen backbone, which saw none of them, picks every
event; thresholds, the median residual that is taken off (as `pick_shift_s` does) and the calibration come from the
other folds. Shown is the share of right picks within the stated 68 % and 95 % intervals: by half widths themselves, by
one factor of them with 1.96 times that for 95 % (as adapters had it before), and as calibrated now.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console

from phaseno_peft.backbone import load_backbone
from phaseno_peft.campaign import Campaign, fixed_windows, with_moved_labels
from phaseno_peft.contract import PHASES, BackboneDefaults, PickUncertainty
from phaseno_peft.evaluation import Predictions, Scores, calibrated, choose_thresholds, joined_scores, score
from phaseno_peft.evaluation.calibration import Stated, stated_for
from phaseno_peft.evaluation.metrics import event_groups
from phaseno_peft.judging.uncertainty import coverage
from phaseno_peft.picking.inference import window_probabilities
from phaseno_peft.text_tables import TextTable

HEADER = ("campaign", "uncertainty", "phase", "stated", "right picks", "within it [95 %]", "median ± ms", "")


def one_factor(scores: Scores) -> PickUncertainty:
    """The 68 % quantile of |residual - median| over half widths, and normal errors."""
    factors = {}
    for phase in PHASES:
        found = scores.phase(phase, 0.5)
        off_s = np.abs(np.array(found.residuals_s) - found.residual_median_s)
        factors[phase] = float(np.quantile(off_s / np.array(found.half_widths_s), 0.68)) if found.tp else 1.0
    return PickUncertainty(factors)


HOW = {
    "half widths": lambda _: BackboneDefaults().pick_uncertainty,
    "one factor, 1.96": one_factor,
    "calibrated": calibrated,
}


def covered(campaign: Campaign, folds: int) -> list[list[str]]:
    """Rows of the table."""
    windows = fixed_windows(campaign.stretches(), campaign.frame, campaign.preprocessing, 0, noise_per_event=0)
    said = Predictions(windows, window_probabilities(load_backbone(), windows, campaign.frame.edge_limit_km))
    part = np.array(event_groups(windows)) % folds
    tested: list[Scores] = []
    stated: dict[str, list[Stated]] = {name: [] for name in HOW}
    for k in range(folds):
        others, own = (said.rows(np.flatnonzero(rows).tolist()) for rows in (part != k, part == k))
        thresholds = choose_thresholds(*others)
        shift_s = {p: -score(*others, thresholds).phase(p, 0.5).residual_median_s for p in PHASES}
        scores = [
            score(with_moved_labels(each.windows, shift_s), each.probabilities, thresholds) for each in (others, own)
        ]
        tested.append(scores[1])
        for name, how in HOW.items():
            stated[name].append(stated_for(scores[1], how(scores[0])))
    together = joined_scores(tested)
    rows = []
    for name, parts in stated.items():
        intervals = {phase: np.concatenate([each[phase] for each in parts], axis=1) for phase in PHASES}
        for c in coverage(together, intervals):
            share = f"{c.share:.2f} [{c.low:.2f}, {c.high:.2f}]"
            row = [campaign.name, name, c.phase, c.stated, str(c.picks), share, f"{1000 * c.median_s:.0f}", c.judgement]
            rows.append(row)
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("campaigns", type=Path, nargs="+")
    parser.add_argument("--folds", type=int, default=4)
    asked = parser.parse_args()
    rows = []
    for folder in asked.campaigns:
        files = folder / "waveforms", folder / "stations.xml", folder / "picks.xml"
        rows += covered(Campaign.read(*files, name=folder.resolve().name), asked.folds)
    Console(width=140).print(TextTable(HEADER, rows, n_left=4))


if __name__ == "__main__":
    main()
