"""Options that several commands share, declared once so that they are spelled, explained and checked alike."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from phaseno_peft.errors import PhasenoPeftError

if TYPE_CHECKING:
    from obspy import UTCDateTime

WaveformsOption = Annotated[
    Path, typer.Option("--waveforms", help="Folder or file of waveforms, MiniSEED or anything obspy reads.")
]
StationsOption = Annotated[
    Path,
    typer.Option(
        "--stations", help="StationXML, or CSV with network,station,latitude,longitude[,location,elevation_m]."
    ),
]
CampaignStationsOption = Annotated[
    Path | None,
    typer.Option(
        "--stations",
        help="StationXML, or CSV with network,station,latitude,longitude[,location,elevation_m]. Leave it out where "
        "--waveforms is a set in SeisBench's format.",
    ),
]
PicksOption = Annotated[
    Path | None,
    typer.Option(
        "--picks",
        help="P and S picks: QuakeML, another catalogue, CSV, NLLOC_OBS, or a folder of these. Leave it out where "
        "--waveforms is a set in SeisBench's format.",
    ),
]
ChannelsOption = Annotated[
    str | None,
    typer.Option(
        "--channels",
        help="What codes mean: EH0=Z,EH1=N,EH2=E, or STATION.EH0=Z; SEG-Y by trace number, 1=STATION.Z. Or a file of "
        "such lines.",
    ),
]
CompleteOption = Annotated[
    str,
    typer.Option(
        "--complete",
        help="What a missing pick of a listed event means. no: unknown; station: absent where the station has its "
        "other phase; event: absent at every station that recorded. For some: station=ID,ID or event=ID,ID (all not "
        "picked there is absent), or a file of lines station,ID and event,ID.",
    ),
]
PicksOnOption = Annotated[
    Literal["onset", "peak", "trough"] | None,
    typer.Option(
        "--picks-on",
        help="Move the picks first: to the onset, or from the onset to the next clear peak or trough. Default: as they "
        "are.",
    ),
]
NoiseOption = Annotated[
    str,
    typer.Option(
        "--noise",
        help="Where noise windows come from: between the events, before (the minute before each), or a CSV of "
        "start,end.",
    ),
]
TrainingNoiseOption = Annotated[
    str,
    typer.Option(
        "--noise",
        help="Where noise windows come from: between the events, before (the minute before each), quiet (training's "
        "from where the frozen backbone sees nothing), or a CSV of start,end.",
    ),
]
SkipUnknownOption = Annotated[
    bool, typer.Option("--skip-unknown", help="Drop picks of stations that the station file does not list.")
]
BackboneOption = Annotated[
    str | None, typer.Option("--backbone", help="Backbone: an embedded one's name, or a folder. Default: embedded.")
]
PhasenetWeightsOption = Annotated[
    str | None,
    typer.Option(
        "--phasenet-weights",
        help="The original PhaseNet's weights: a safetensors file, or the name of weights SeisBench knows.",
    ),
]
FrozenOption = Annotated[bool, typer.Option("--frozen", help="Use the frozen backbone without an adapter.")]
PThresholdOption = Annotated[
    float | None, typer.Option("--p-threshold", min=0, max=1, help="Default: chosen when the adapter was trained.")
]
SThresholdOption = Annotated[float | None, typer.Option("--s-threshold", min=0, max=1, help="As for P.")]
GateOption = Annotated[
    Literal["auto", "off"],
    typer.Option("--gate", help="auto: leave out windows in which the backbone's stem hears nothing. off: none."),
]
TimeScaleOption = Annotated[
    float,
    typer.Option(
        "--time-scale",
        min=0.1,
        max=100,
        help="k: treat the data as k times slower and larger, for small arrays and short S-P times.",
    ),
]
TimeScaleOrAutoOption = Annotated[
    str,
    typer.Option(
        "--time-scale",
        help="k: treat the data as k times slower and larger, for small arrays and short S-P times. auto: from S-P "
        "times, aperture and spectra, checked on the validation events.",
    ),
]
EdgeLimitOption = Annotated[
    float, typer.Option("--edge-limit-km", min=0, help="Stations farther apart do not hear each other.")
]
EpochsOption = Annotated[int | None, typer.Option("--epochs", min=0, help="Passes over the training events.")]
MaxMinutesOption = Annotated[
    float | None, typer.Option("--max-minutes", min=0.1, help="Shorten each training to fit into this time.")
]
ReplayOption = Annotated[
    float | None,
    typer.Option(
        "--replay",
        min=0,
        max=1,
        help="Simulated windows of other networks that are added to every epoch of an adapter's training, so many "
        "times the campaign's, against forgetting: 0.25, say. Default: 0.",
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, mps.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of split, windows and training.")]
SkipUnreadableOption = Annotated[
    bool, typer.Option("--skip-unreadable", help="Leave out files that cannot be read, name them, and do the rest.")
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace the output file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No messages, only results and errors.")]


def time_scale_of(text: str) -> float | None:
    """The scale that was given; None for "auto". Raises `PhasenoPeftError` for anything else."""
    if text.strip().lower() == "auto":
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.1 <= value <= 100:
        raise PhasenoPeftError(f"--time-scale should be a number from 0.1 to 100, or auto, but is {text!r}.")
    return value


def time_of(text: str | None, option: str) -> UTCDateTime | None:
    """A time of the command line, UTC. Raises `PhasenoPeftError` for what is none."""
    from obspy import UTCDateTime

    if text is None:
        return None
    try:
        if not re.match(r"\d{4}-?\d{2}", text):  # UTCDateTime reads a bare number as seconds since 1970
            raise ValueError
        return UTCDateTime(text)
    except Exception as error:  # UTCDateTime raises TypeError, ValueError or IndexError
        raise PhasenoPeftError(f"{option} should be a time such as 2026-03-01T12:00:00 but is {text!r}.") from error


def check_output(out: Path, endings: Collection[str] | None, advice: str, *, overwrite: bool) -> None:
    """Refuse, before any work is done, a file that could not be written in the end; `advice` follows a wrong ending.

    Any ending does where `endings` is None.
    """
    if endings is not None and out.suffix.lower() not in endings:
        raise PhasenoPeftError(f"{out}: unknown ending {out.suffix!r}. {advice}")
    if out.exists() and not overwrite:
        raise PhasenoPeftError(f"{out}: exists already. Choose another name, or replace it with --overwrite.")
    if not out.absolute().parent.is_dir():
        raise PhasenoPeftError(f"{out}: the folder {out.absolute().parent} does not exist. Make it first.")
