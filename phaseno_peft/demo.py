"""The whole library on a simulated campaign: files, adapter, scores, picks of a continuous record, figures, report.

Needs nothing but the installed package. The campaign is simulated: it shows that the thread works and what its results
look like, and says nothing about accuracy on real records.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from obspy import UTCDateTime

from phaseno_peft.campaign import Campaign, Catalogue, CatalogueEvent, LabelledPick, read_stations
from phaseno_peft.contract import PHASES
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.evaluation import comparison_markdown
from phaseno_peft.figures.sections import continuous_section
from phaseno_peft.files import check_folder, settle, write_file, write_folder
from phaseno_peft.judging import ListScore, score_picks
from phaseno_peft.picking import PickList, load_adapter
from phaseno_peft.simulation import simulate_campaign
from phaseno_peft.text_tables import TextTable
from phaseno_peft.training import Epoch, TrainedAdapter, TrainingSettings, train_adapter

NAME = "ohio-frac-demo"
EVENTS = 40
CONTINUOUS_MINUTES = 10.0
TRAINING = TrainingSettings(epochs=12, max_minutes=2.5)


@dataclass(frozen=True)
class Demo:
    """What the demo leaves behind."""

    folder: Path
    trained: TrainedAdapter
    picks: PickList
    continuous: dict[str, ListScore]
    """Model -> its picks of the continuous record against what a careful analyst would have picked there."""


def run_demo(
    folder: str | Path,
    *,
    seed: int = 0,
    overwrite: bool = False,
    events: int = EVENTS,
    continuous_minutes: float = CONTINUOUS_MINUTES,
    training: TrainingSettings = TRAINING,
    on_stage: Callable[[str], None] = lambda _: None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Demo:
    """Simulate, train, judge and pick in `folder`, which appears whole when everything is done.

    Raises `PhasenoPeftError` if the folder is not empty and `overwrite` is False, or if it holds no demo.
    """
    folder = Path(folder)
    settle(folder)
    check_folder(folder, "demo", ("campaign", "adapters"), overwrite=overwrite)
    with write_folder(folder, "making the demo", overwrite=overwrite) as part:
        return _run(part, seed, events, continuous_minutes, training, on_stage, on_epoch)


def _run(
    folder: Path,
    seed: int,
    events: int,
    continuous_minutes: float,
    training: TrainingSettings,
    on_stage: Callable[[str], None],
    on_epoch: Callable[[Epoch], None] | None,
) -> Demo:
    on_stage(f"simulating {events} events of a hydraulic-fracturing campaign at five stations, and a continuous record")
    made = simulate_campaign(
        "ohio-frac", folder / "campaign", seed=seed, events=events, continuous_minutes=continuous_minutes
    )
    on_stage(f"a simulated analyst picked {made.p_picks} P and {made.s_picks} S, on the first peak of each phase")
    campaign = Campaign.read(made.waveforms, made.stations, made.picks, name=NAME)
    trained = train_adapter(
        NAME,
        campaign,
        folder=folder / "adapters",
        training=training,
        label_source="simulated",
        label_convention="peak",
        seed=seed,
        on_stage=on_stage,
        on_epoch=on_epoch,
    )

    on_stage(f"picking {continuous_minutes:g} minutes of continuous record with the adapter and the frozen backbone")
    picker = load_adapter(trained.folder)
    stations = read_stations(made.stations)
    annotation = picker.annotation(folder / "campaign" / "continuous", stations)
    recording, picks = annotation.recording, picker.picks(annotation)
    with picker.frozen():
        frozen = picker.classify(folder / "campaign" / "continuous", stations)
    picks.to_csv(folder / "picks.csv")
    picks.to_quakeml(folder / "picks.xml")
    continuous_section(recording, picks, folder / "continuous.png", duration_s=recording.duration_s)
    if made.continuous_truth is None:
        raise PhasenoPeftError("the simulation wrote no truth for its continuous record. Please report this as a bug.")
    truth = careful_catalogue(made.continuous_truth)
    continuous = {
        model: score_picks(found, truth, folder / "campaign" / "continuous", tolerance=0.5, every_arrival=True)
        for model, found in (("frozen", frozen), ("adapter", picks))
    }
    write_file(folder / "report.md", _report(trained, continuous, seed))
    return Demo(folder, trained, picks, continuous)


def careful_catalogue(truth: Path) -> Catalogue:
    """The arrivals of a simulated record as a careful analyst would have picked them; weaker ones have weight 0."""
    with truth.open(encoding="utf-8", newline="") as file:
        labels = [
            LabelledPick(
                pick_id=str(number),
                event_id=row["event"],
                station_id=row["station"],
                phase=row["phase"],
                time=UTCDateTime(row["pick_time"] or row["onset_time"]),
                uncertainty_s=None,
                usable=bool(row["pick_time"]),
                number=number,
            )
            for number, row in enumerate(csv.DictReader(file), start=1)
        ]
    events = {label.event_id: [x for x in labels if x.event_id == label.event_id] for label in labels}
    return Catalogue(
        tuple(CatalogueEvent(name, None, None, None, None, tuple(picks)) for name, picks in events.items()), truth.name
    )


def continuous_table(scores: Mapping[str, ListScore]) -> TextTable:
    """The scores of the continuous record as a table."""
    rows = []
    for phase in PHASES:
        for model, made in scores.items():
            found = made.phases[phase, 0.5]
            precision = f"{found.precision:.3f}" if found.tp + found.fp else "-"
            recall = f"{found.recall:.3f}" if found.n_labels else "-"
            rows.append((phase, model, found.tp, found.fn, found.fp, precision, recall))
    columns = ("phase", "model", "picked", "missed", "false", "precision", "recall")
    return TextTable(columns, rows, "Continuous record", n_left=2)


def _report(trained: TrainedAdapter, continuous: Mapping[str, ListScore], seed: int) -> str:
    made = trained.contract.provenance
    return f"""# phaseno-peft demo

A simulated hydraulic-fracturing campaign in the geometry of the paper's Ohio data set (five three-component stations
over 25 km2, sources 2.8 to 3.4 km deep, 250 Hz, picked on the first peak). Simulated: this shows how the library works,
not how well it picks real earthquakes. Seed {seed}.

## The adapter on held-out events

{made.train_events} events for training, {made.validation_events} for validation, {made.test_events} held out.
{trained.n_trainable:,} trainable parameters, {trained.seconds:.0f} s.

{comparison_markdown(trained.scores)}
![record section](adapters/{trained.name}/figures/record_section.png)

![scores](adapters/{trained.name}/figures/scores.png)

![residuals](adapters/{trained.name}/figures/residuals.png)

![training](adapters/{trained.name}/figures/training.png)

## The continuous record

Against the arrivals a careful analyst would have picked; arrivals too weak for the analyst are not counted either way.

{continuous_table(continuous).markdown()}
![continuous record](continuous.png)

Files: `picks.csv` and `picks.xml` (QuakeML) hold the adapter's picks, `campaign/` what the simulated company delivered,
`adapters/{trained.name}/README.md` is the adapter's card.
"""
