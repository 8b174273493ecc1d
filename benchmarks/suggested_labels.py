"""How many labels `suggest-labels` saves against labelling events at random.

    python -m benchmarks.suggested_labels [--campaign FOLDER] [--start 4] [--adds 4,8] [--held-out 24] [--seeds 2]

Of a simulated campaign (or of a picked one in FOLDER: waveforms/, stations.xml, picks.xml) some events are held out,
and the others are an archive whose labels are hidden. An adapter is trained on `--start` random events of it. Then
`--adds` more are labelled, once those that `suggest_labels` ranks first, once random ones (the same draw, nested),
and an adapter is trained on all that are labelled. Events are chosen among records that hold one: a random window of
a real archive mostly holds none, so that this random choice is a strong one. Scored is mean F1 of P and S on the
held-out events, at the thresholds that are best there, for both alike. One row for each seed and number of labels,
then means, and the number of random labels at which the mean reaches that of the suggested ones (interpolated).
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import time
from pathlib import Path

import numpy as np

from benchmarks.held_out_campaign import (
    Lean,
    add_options,
    console,
    part,
    read,
    recordings_with_labels,
    seconds_since,
    simulated,
    windows_of,
)
from phaseno_peft.backbone import backbone_info, load_backbone
from phaseno_peft.campaign import Campaign, Split, Window, read_waveforms, with_moved_labels
from phaseno_peft.contract import NO_SHIFT_S
from phaseno_peft.evaluation import Predictions, score_at_thresholds_of
from phaseno_peft.labelling import suggest_labels
from phaseno_peft.library import StoredAdapter, read_contract
from phaseno_peft.library.resolve import find_adapter
from phaseno_peft.picking import Picker
from phaseno_peft.picking.inference import window_probabilities
from phaseno_peft.text_tables import TextTable
from phaseno_peft.training import find_recipe
from phaseno_peft.training.dataset import CampaignDataset
from phaseno_peft.training.fit import Fitted, adapter_tensors, fit

TOLERANCES_S = (0.1, 0.5)


def trained(campaign: Campaign, numbers: list[int], lean: Lean, seed: int) -> Fitted:
    """An adapter trained on these recordings for a fixed number of epochs."""
    own = part(campaign, numbers)
    dataset = CampaignDataset(own, Split(own.stretches(), (), (), ""), [], [], seed)
    training = lean.settings(seed).changed(keep_epoch=lean.epochs)
    return fit(find_recipe("cr-lora"), dataset, training, backbone=lean.backbone)


def f1(fitted: Fitted | None, windows: list[Window], edge_limit_km: float, backbone: str) -> dict[float, float]:
    """Tolerance -> mean F1 at the best thresholds; of the frozen backbone without a training."""
    model = load_backbone(backbone) if fitted is None else fitted.model
    labelled = with_moved_labels(windows, NO_SHIFT_S if fitted is None else fitted.pick_shift_s)
    found = Predictions(labelled, window_probabilities(model, windows, edge_limit_km))
    scores = score_at_thresholds_of(found, found, spare_picks=0)
    return {t: scores.mean_f1(t) for t in TOLERANCES_S}


def ranked(campaign: Campaign, fitted: Fitted, files: dict[int, Path], n: int, backbone: str) -> list[int]:
    """Recordings that hold what is suggested, the best first."""
    method = fitted.recipe.method
    assert method is not None
    picker = Picker.load(backbone)
    contract = dataclasses.replace(
        read_contract(find_adapter("ohio-frac").folder),  # thresholds, preprocessing and place are replaced
        backbone_fingerprint=picker.backbone_fingerprint,
        preprocessing=campaign.preprocessing,
        frame=campaign.frame,
        thresholds=dict(backbone_info(backbone).thresholds),
        pick_shift_s=fitted.pick_shift_s,
    )
    picker.add_adapter(StoredAdapter("start", Path("start"), method, contract, adapter_tensors(fitted.model)))
    streams = {str(i): stream for i, file in files.items() for stream in read_waveforms(file).values()}
    found = suggest_labels(streams, campaign.stations, picker, n=n)
    order = []
    for each in found.suggestions:
        holds = [i for i in files if campaign.recordings[i].start <= each.middle <= campaign.recordings[i].end]
        order += [i for i in holds if i not in order]
    return order


def labels_at(f1s: dict[int, float], wanted: float) -> str:
    """Labels at which a curve reaches a score, by linear interpolation."""
    numbers = sorted(f1s)
    for before, after in itertools.pairwise(numbers):
        low, high = f1s[before], f1s[after]
        if low < wanted <= high:
            return f"{before + (after - before) * (wanted - low) / (high - low):.1f}"
    return f"{numbers[0]} or fewer" if f1s[numbers[0]] >= wanted else f"more than {numbers[-1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--campaign", type=Path, default=None)
    parser.add_argument("--start", type=int, default=4)
    parser.add_argument("--adds", default="4,8")
    parser.add_argument("--pool", type=int, default=28)
    parser.add_argument("--held-out", type=int, default=24)
    options = parser.parse_args()
    adds = [int(n) for n in options.adds.split(",")]
    started = time.process_time()
    folder = options.campaign or simulated(options, options.pool + options.held_out)
    campaign = read(folder)
    lean = Lean(options.epochs, options.windows, options.folds, options.backbone)
    usable = recordings_with_labels(campaign)
    edge_limit_km = campaign.frame.edge_limit_km
    rows: list[list[str]] = []
    all_f1: dict[tuple[str, int], list[float]] = {}
    for seed in range(options.seeds):
        order = np.random.default_rng(seed).permutation(usable).tolist()
        held_out, pool = order[: options.held_out], order[options.held_out :]
        windows = windows_of(part(campaign, held_out))
        first, rest = pool[: options.start], pool[options.start :]
        begin = trained(campaign, first, lean, seed)
        files = {i: folder / "waveforms" / f"{campaign.recordings[i].name}.mseed" for i in rest}
        suggested = ranked(campaign, begin, files, max(adds), options.backbone)
        missing = [i for i in rest if i not in suggested]
        choices = {"random": rest, "suggested": [*suggested, *missing]}
        frozen, start = (f1(each, windows, edge_limit_km, options.backbone) for each in (None, begin))
        rows.append([str(seed), "0", "frozen", *(f"{frozen[t]:.3f}" for t in TOLERANCES_S)])
        rows.append([str(seed), str(len(first)), "both", *(f"{start[t]:.3f}" for t in TOLERANCES_S)])
        for how in choices:
            all_f1.setdefault((how, len(first)), []).append(start[0.1])
        for n in adds:
            for how, ranking in choices.items():
                fitted = trained(campaign, [*first, *ranking[:n]], lean, seed)
                found = f1(fitted, windows, edge_limit_km, options.backbone)
                all_f1.setdefault((how, len(first) + n), []).append(found[0.1])
                rows.append([str(seed), str(len(first) + n), how, *(f"{found[t]:.3f}" for t in TOLERANCES_S)])
        console.print(f"seed {seed} done: {rows[-2 * len(adds) - 2 :]}; {seconds_since(started)}")
    console.print(TextTable(["seed", "labels", "chosen", *(f"F1 {t} s" for t in TOLERANCES_S)], rows).markdown())
    means = {key: float(np.mean(values)) for key, values in all_f1.items()}
    random = {n: value for (how, n), value in means.items() if how == "random"}
    for (how, n), value in sorted(means.items(), key=lambda item: (item[0][1], item[0][0])):
        reached = f"; random reaches it at {labels_at(random, value)}" if how == "suggested" else ""
        console.print(f"{n} labels, {how}: mean F1 {value:.3f} at 0.1 s over {options.seeds} seeds{reached}")
    console.print(seconds_since(started))


if __name__ == "__main__":
    main()
