"""What is attacked: a small backbone with random weights, adapters on it, and six seconds of three stations."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from obspy import Stream, Trace, UTCDateTime

from phaseno_peft.backbone import PhaseNO, PhaseNOConfig, StationGraph, save_backbone
from phaseno_peft.campaign import Station, StationTable, prepare
from phaseno_peft.campaign.windows import input_window
from phaseno_peft.contract import Preprocessing
from phaseno_peft.cr_lora import CRLoraSettings, expected_tensors
from phaseno_peft.library import read_contract, write_adapter
from phaseno_peft.library.card import Card
from phaseno_peft.paths import shipped_folder
from phaseno_peft.picking import Picker
from phaseno_peft.picking.inference import network_input, window_starts
from phaseno_peft.training.recipes import find_recipe

WINDOW_SAMPLES = 600
"""At 100 Hz; a fifth of the real network's, so that a pick costs milliseconds."""
START = UTCDateTime(2020, 5, 4, 3, 2, 1)
NAMES = ("north", "south", "east", "west")
"""Of the adapters; each picks otherwise than the others."""
_SMALL = PhaseNOConfig(
    width=4, modes=6, window_samples=WINDOW_SAMPLES, padding_samples=20, middle_samples=60, coarse_samples=30
)


@dataclass(frozen=True)
class Subject:
    """Folders and records that the attacks start from; nothing in it is altered, copies are."""

    scratch: Path
    """In memory where the system has such a folder; for copies."""
    backbone: Path
    adapters: dict[str, Path]
    stream: Stream
    stations: StationTable
    waveforms: torch.Tensor
    """[station, component, sample], the stream as the network sees it."""
    graph: StationGraph
    files: Path | None = None
    """Real files, any number of folders deep, whose copies are altered too."""

    @property
    def doing(self) -> Path:
        """Where an attack notes what it does."""
        return self.scratch / "doing"


@contextmanager
def subject(seed: int) -> Iterator[Subject]:
    """Make everything from `seed`, and remove it at the end."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        prefix="phaseno-attack-", dir=memory if memory.is_dir() else None, ignore_cleanup_errors=True
    ) as scratch:
        yield _make(Path(scratch), seed)


def _make(scratch: Path, seed: int) -> Subject:
    torch.manual_seed(seed)
    network = PhaseNO(_SMALL)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "conv.weights1" not in name:
                parameter.mul_(2)  # random weights of the usual size leave every probability near one half
    backbone = save_backbone(network, scratch / "backbone", "attacked", {"P": 0.5, "S": 0.5})
    stations = StationTable(
        [Station(f"XX.S{i}.", 12.0 + 0.02 * i, -41.0 + 0.01 * i, 100.0) for i in range(3)], source="stations.xml"
    )
    stream = _stream(stations, np.random.default_rng(seed))
    picker = Picker.load(backbone)
    adapters = {
        name: _write_adapter(picker, scratch / "adapters" / name, seed + number, stream, stations)
        for number, name in enumerate(NAMES)
    }
    recording = prepare(stream, stations, _preprocessing())
    starts = window_starts(recording.n_samples, _preprocessing())
    windows = [input_window(recording, start, stations.frame(), _preprocessing()) for start in starts]
    waveforms, graph = network_input(windows, stations.frame().edge_limit_km)
    return Subject(scratch, backbone, adapters, stream, stations, waveforms, graph)


def _settings() -> CRLoraSettings:
    """On the last blocks: every kind of layer, and PEFT's loader, which wraps each of them, costs least."""
    late = find_recipe("cr-lora:4").method
    assert late is not None
    return dataclasses.replace(late, r=2)


def _preprocessing() -> Preprocessing:
    return Preprocessing(window_samples=WINDOW_SAMPLES)


def _stream(stations: StationTable, rng: np.random.Generator) -> Stream:
    """A P and an S wavelet in noise on each station, one window long, as counts."""
    traces, time = [], np.arange(WINDOW_SAMPLES) / 100.0
    for number, station in enumerate(stations):
        network, code, location = station.station_id.split(".")
        for component in "ENZ":
            counts = rng.normal(0, 20, WINDOW_SAMPLES)
            for onset, size in ((1.5 + 0.2 * number, 300), (2.6 + 0.35 * number, 600)):
                after = np.maximum(time - onset, 0)
                counts += size * rng.uniform(0.5, 1) * np.sin(2 * np.pi * 12 * after) * np.exp(-4 * after)
            header = {"network": network, "station": code, "location": location, "channel": f"HH{component}"}
            header |= {"sampling_rate": 100.0, "starttime": START}
            traces.append(Trace(np.round(counts).astype(np.int32), header))
    return Stream(traces)


def _write_adapter(picker: Picker, folder: Path, seed: int, stream: Stream, stations: StationTable) -> Path:
    """An adapter with random tensors, thresholds among its probabilities, and the scores of a shipped one."""
    shipped, settings = shipped_folder("adapters") / "ohio-frac", _settings()
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        key: 0.5 * torch.randn(shape, generator=generator)
        for key, shape in expected_tensors(picker.backbone, settings).items()
    }
    contract = dataclasses.replace(
        read_contract(shipped),
        backbone_name=picker.backbone_name,
        backbone_fingerprint=picker.backbone_fingerprint,
        preprocessing=_preprocessing(),
        frame=stations.frame(),
        thresholds={"P": 0.4, "S": 0.4},
        min_distance_s=0.1,
    )
    evaluation = {"evaluation.json": shipped / "evaluation.json"}
    card = Card(folder.name, settings, contract, {}, {}, [])
    write_adapter(folder, settings, contract, tensors, card, evaluation)
    trial = Picker.load(folder.parents[1] / "backbone")
    trial.load_adapter(folder)
    curves = trial.annotation(stream, stations).probabilities  # [station, phase, sample]
    thresholds = {phase: round(float(np.quantile(curves[:, i], 0.9)), 3) for i, phase in enumerate(("P", "S"))}
    contract = dataclasses.replace(contract, thresholds={k: min(max(v, 0.01), 0.99) for k, v in thresholds.items()})
    return write_adapter(folder, settings, contract, tensors, card, evaluation, overwrite=True)
