"""Train the adapters that come with phaseno-peft, all or some, and write their cards.

python adapters/retrain.py                                   # those of simulated campaigns
python adapters/retrain.py --recordings FOLDER               # and those of recordings: FOLDER/<name>/waveforms ...
python adapters/retrain.py samba-nz --recordings FOLDER      # one of them
python adapters/retrain.py --judge                           # no training: calibrate and judge the adapters again
python adapters/retrain.py --cards                           # no training: write the cards again
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from phaseno_peft.campaign import Campaign, pick_times_sha256, with_moved_labels
from phaseno_peft.cr_lora import selected_adapter
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.evaluation import (
    Evaluation,
    calibrate_uncertainty,
    comparison_markdown,
    read_evaluation,
    write_evaluation,
)
from phaseno_peft.evaluation.calibration import stated_for
from phaseno_peft.evaluation.judge import JudgedNoise
from phaseno_peft.files import write_file, write_folder
from phaseno_peft.files.manifest import MANIFEST, write_manifest
from phaseno_peft.judging.card_tables import card_tables
from phaseno_peft.judging.evidence import stored_forgetting
from phaseno_peft.judging.verdict import FEWEST_NOISE_HOURS
from phaseno_peft.library.inventory import renew_card
from phaseno_peft.library.names import CONFIG
from phaseno_peft.library.resolve import names_in
from phaseno_peft.library.store import EVALUATION, listed_files, read_contract, read_json, render_card
from phaseno_peft.picking import load_adapter
from phaseno_peft.picking.inference import window_probabilities
from phaseno_peft.simulation import simulate_campaign
from phaseno_peft.training import TrainingSettings, train_adapter
from phaseno_peft.training.dataset import CampaignDataset
from phaseno_peft.training.fit import judge_model
from phaseno_peft.training.worth import judgement_of, worth

ADAPTERS = Path(__file__).resolve().parent
CARDS = ADAPTERS.parent / "cards"
SEED = 0


@dataclass(frozen=True)
class Simulated:
    """A campaign of `phaseno-peft simulate`, made anew from its seed wherever it is needed."""

    preset: str
    convention: Literal["onset", "peak"]
    """Of the preset's simulated analyst."""
    events: int = 40
    note: str = (
        "Trained on simulated records only, in the geometry of a campaign of arXiv 2512.13197: a start for a network "
        "like it, not a picker for real earthquakes until it was judged on some."
    )

    def read(self, name: str, folder: Path) -> Campaign:
        """Simulate the campaign into `folder` and read it."""
        made = simulate_campaign(self.preset, folder / name, seed=SEED, events=self.events)
        return Campaign.read(made.waveforms, made.stations, made.picks, name=name)


@dataclass(frozen=True)
class Recorded:
    """A campaign of real recordings that lies in a folder: waveforms, stations.xml, picks.xml."""

    labels: Literal["analyst", "automatic"]
    note: str

    def read(self, name: str, folder: Path) -> Campaign:
        """Read the campaign from `folder`/`name`."""
        place = folder / name
        return Campaign.read(place / "waveforms", place / "stations.xml", place / "picks.xml", name=name)


CAMPAIGNS: dict[str, Simulated | Recorded] = {
    "ohio-frac": Simulated("ohio-frac", "peak"),
    "bc-frac": Simulated("bc-frac", "peak"),
    "us-industrial": Simulated("us-industrial", "onset"),
    "samba-nz": Recorded(
        "analyst",
        "The catalogue was made with the help of matched-filter detection: some picks were carried over from templates "
        "and are not independent readings, and all lie about 0.11 s before the onsets.",
    ),
    "iceland-vt": Recorded(
        "automatic",
        "The picks are QuakeMigrate's, about 0.08 s before the onsets; nobody has checked them one by one.",
    ),
}


def train(name: str, recordings: Path | None) -> Path:
    """Train one adapter into `adapters/`, with its card; the old one stays until the new one is complete."""
    campaign = CAMPAIGNS.get(name)
    if campaign is None:
        raise PhasenoPeftError(f"{name}: is none of {', '.join(CAMPAIGNS)}.")
    if isinstance(campaign, Recorded) and recordings is None:
        raise PhasenoPeftError(f"{name}: is trained on recordings. Say where they are with --recordings FOLDER.")
    simulated = isinstance(campaign, Simulated)
    with tempfile.TemporaryDirectory() as scratch:
        trained = train_adapter(
            name,
            campaign.read(name, Path(scratch) if recordings is None or simulated else recordings),
            folder=ADAPTERS,
            label_source="simulated" if isinstance(campaign, Simulated) else campaign.labels,
            label_convention=campaign.convention if isinstance(campaign, Simulated) else None,
            recipe="cr-lora" if simulated else "cr-lora+stem-full",
            training=TrainingSettings(epochs=8) if simulated else None,  # None: the recipe's own
            folds=0 if simulated else "auto",  # simulated events cost nothing: some are set aside
            seed=SEED,
            overwrite=True,
            on_stage=lambda text: print(f"{name}: {text}", file=sys.stderr),
        )
    print(f"{name}\n{comparison_markdown(trained.scores)}")
    renew_card(trained.folder, [campaign.note])
    return trained.folder


def judge(name: str) -> None:
    """Calibrate and judge an adapter of a simulated campaign by the rules of today, its tensors and thresholds kept.

    Raises `PhasenoPeftError` where they are not those of the campaign as it is simulated and split today.
    """
    campaign, folder = CAMPAIGNS.get(name), ADAPTERS / name
    if not isinstance(campaign, Simulated):
        raise PhasenoPeftError(f"{name}: is no adapter of a simulated campaign. Train it again, without --judge.")
    picker = load_adapter(folder)
    contract, evaluation = picker.adapter_contract, read_evaluation(folder / EVALUATION)
    with tempfile.TemporaryDirectory() as scratch:
        dataset = CampaignDataset.of(campaign.read(name, Path(scratch)), SEED)
        noise = dataset.further_noise(FEWEST_NOISE_HOURS)
        with selected_adapter(None):
            frozen = judge_model(picker.backbone, dataset)
            of_frozen = window_probabilities(picker.backbone, noise, dataset.edge_limit_km)
        with selected_adapter(picker.active_adapter):
            adapter = judge_model(picker.backbone, dataset, contract.pick_shift_s)
            of_adapter = window_probabilities(picker.backbone, noise, dataset.edge_limit_km)
    if dataset.split.sha256() != contract.provenance.split_sha256 or adapter.thresholds != dict(contract.thresholds):
        raise PhasenoPeftError(f"{name}: the campaign is split or picked differently today. Train it again.")
    uncertainty = calibrate_uncertainty(
        with_moved_labels(dataset.validation, contract.pick_shift_s),
        adapter.validation_probabilities,
        adapter.thresholds,
        min_distance_s=contract.min_distance_s,
    )
    trained_on = [*dataset.train(), *dataset.split.validation]
    contract = dataclasses.replace(
        contract,
        uncertainty_factor=dict(uncertainty.factor),
        uncertainty_calibration=dict(uncertainty.calibration),
        provenance=dataclasses.replace(contract.provenance, pick_times_sha256=pick_times_sha256(trained_on)),
    )
    stated = stated_for(adapter.test, uncertainty)
    further_noise = {
        model: JudgedNoise.of(noise, found, own.thresholds, contract.min_distance_s)
        for model, own, found in (("frozen", frozen, of_frozen), ("adapter", adapter, of_adapter))
    }
    forgotten = stored_forgetting(folder)
    shifts_s = [contract.pick_shift_s] * (len(dataset.test) + len(noise))
    judgement = judgement_of(dataset, frozen, adapter, pick_shifts_s=shifts_s, further_noise=further_noise)
    found = worth(dataset, judgement, stated, contract, forgotten)
    scores = {**evaluation.scores, "frozen": frozen.test, "adapter": adapter.test}
    config = read_json(folder / CONFIG) | {"contract": contract.to_json()}
    files = [file for file in listed_files(folder) if file != MANIFEST]
    with write_folder(folder, "judging", overwrite=True) as part:
        shutil.copytree(folder, part, dirs_exist_ok=True)
        write_file(part / CONFIG, json.dumps(config, indent=2) + "\n")
        write_evaluation(part / EVALUATION, Evaluation(scores, evaluation.about | found))
        write_manifest(part, name, files)
    print(f"{name}: {found['verdict']['verdict']}; {comparison_markdown(scores)}")


def write_cards(names: Sequence[str]) -> list[Path]:
    """`README.md` of these adapters, and the same card in `cards/`."""
    cards = []
    for name in names:
        evaluation, contract = read_evaluation(ADAPTERS / name / EVALUATION), read_contract(ADAPTERS / name)
        renew_card(ADAPTERS / name, tables=card_tables(evaluation, contract))
        cards.append(CARDS / f"{name}.md")
        cards[-1].write_text(render_card(ADAPTERS / name, name, f"../adapters/{name}/"), encoding="utf-8")
    return cards


def main() -> None:
    """Train what was asked for, or all that can be trained, and write its cards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CAMPAIGNS)}; default: all that can be trained")
    parser.add_argument("--recordings", type=Path, help="folder with a folder for each campaign of recordings")
    parser.add_argument("--judge", action="store_true", help="only calibrate and judge again what is simulated")
    parser.add_argument("--cards", action="store_true", help="only write the cards again")
    asked = parser.parse_args()
    possible = [name for name, c in CAMPAIGNS.items() if isinstance(c, Simulated) or asked.recordings is not None]
    try:
        names = asked.names or (names_in(ADAPTERS) if asked.cards else possible)
        for name in [] if asked.cards else names:
            if asked.judge:
                judge(name)
            else:
                train(name, asked.recordings)
        for card in write_cards(names):
            print(card)
    except PhasenoPeftError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
