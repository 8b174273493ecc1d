"""A picker: one frozen backbone, any number of resident adapters, streams in, picks out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from phaseno_peft.backbone import EMBEDDED, StationGraph, fingerprint, load_backbone, read_card
from phaseno_peft.campaign import (
    Recording,
    StationTable,
    merge_upstream,
    prepare,
    read_stations,
    upstream_windows,
)
from phaseno_peft.campaign.findings import condense, warnings_first
from phaseno_peft.contract import PHASES, BackboneDefaults, Contract, Preprocessing
from phaseno_peft.cr_lora import attach, selected_adapter
from phaseno_peft.errors import AdapterError
from phaseno_peft.library.store import StoredAdapter, read_adapter
from phaseno_peft.picking.inference import merge_windows, networks, sliding_windows, window_probabilities
from phaseno_peft.picking.peaks import find_picks
from phaseno_peft.picking.picks import Pick, PickList
from phaseno_peft.station_ids import station_fields

if TYPE_CHECKING:
    from obspy import Inventory, Stream

log = logging.getLogger(__name__)
TAPER_S = 2.0
"""Window ends (network's time) count less and less where another window covers them: context is missing there."""


@dataclass(frozen=True)
class Annotation:
    """Probabilities of a whole record: what `annotate` and `classify` are made from."""

    recording: Recording
    probabilities: NDArray[np.float32]
    """[station, 2 (P, S), sample], NaN where a station was not recorded."""


def picks_of(
    annotation: Annotation,
    thresholds: Mapping[str, float],
    min_distance_samples: int,
    uncertainty_factor: Mapping[str, float],
    creator: str,
) -> PickList:
    """Picks of an annotation at one threshold a phase, in time order."""
    recording = annotation.recording
    picks = PickList(creator=creator, findings=warnings_first(recording.findings))
    for station, curves in zip(recording.stations, annotation.probabilities, strict=True):
        for phase, curve in zip(PHASES, curves, strict=True):
            positions, heights, half_widths = find_picks(curve, thresholds[phase], min_distance_samples)
            for position, height, half_width in zip(positions, heights, half_widths, strict=True):
                picks.append(
                    Pick(
                        trace_id=station.station_id,
                        phase=phase,
                        time=recording.start + float(position) / recording.rate_hz,
                        probability=float(height),
                        uncertainty_s=float(half_width) * uncertainty_factor[phase] / recording.rate_hz,
                    )
                )
    return picks.sorted()


class Picker:
    """Picks P and S on a whole network. Made by `load_adapter` or `Picker.load`.

    Within `using` and `frozen` the choice belongs to the thread that made it; `set_adapter` chooses for all others.
    """

    def __init__(self, backbone: torch.nn.Module, name: str, thresholds: dict[str, float]) -> None:
        self.backbone = backbone
        self.backbone_name = name
        self.backbone_fingerprint = fingerprint(backbone)
        self.backbone_thresholds = thresholds
        self._contracts: dict[str, Contract] = {}
        self._active: str | None = None
        self._here: ContextVar[tuple[str | None] | None] = ContextVar("phaseno_peft_picker", default=None)

    @classmethod
    def load(cls, backbone: str | Path = EMBEDDED, device: str | torch.device | None = None) -> Picker:
        """A picker with the frozen backbone only. Raises `BackboneError`."""
        card = read_card(backbone)
        return cls(load_backbone(backbone, device or "cpu"), card.name, dict(card.thresholds))

    @property
    def active_adapter(self) -> str | None:
        """Name of the adapter in force in this thread; None is the frozen backbone."""
        here = self._here.get()
        return self._active if here is None else here[0]

    @property
    def adapters(self) -> list[str]:
        """Names of resident adapters."""
        return sorted(self._contracts)

    def contract(self, name: str | None = None) -> Contract | None:
        """Contract of a resident adapter, by default the active one; None for the frozen backbone."""
        name = name or self.active_adapter
        return None if name is None else self._contracts[self._known(name)]

    @property
    def adapter_contract(self) -> Contract:
        """Contract of the active adapter. Raises `AdapterError` where the frozen backbone is in force."""
        contract = self.contract()
        if contract is None:
            raise AdapterError(
                "no adapter is active. Load one with picker.load_adapter, or choose one with set_adapter."
            )
        return contract

    def load_adapter(self, name_or_path: str | Path, *, name: str | None = None, activate: bool = True) -> str:
        """Make an adapter resident and (by default) active; returns its name. Nothing changes if anything is wrong.

        Raises `AdapterError` for a missing, altered or incomplete adapter, or one of another backbone.
        """
        return self.add_adapter(read_adapter(name_or_path), name=name, activate=activate)

    def add_adapter(self, stored: StoredAdapter, *, name: str | None = None, activate: bool = True) -> str:
        """`load_adapter` for an adapter that is already in memory."""
        name = name or stored.name
        if stored.contract.backbone_fingerprint != self.backbone_fingerprint:
            raise AdapterError(
                f"adapter {name!r} was trained on backbone {stored.contract.backbone_name!r} "
                f"({stored.contract.backbone_fingerprint[:12]}), this picker has {self.backbone_name!r} "
                f"({self.backbone_fingerprint[:12]}). Load that backbone, or train the adapter again."
            )
        if stored.contract.preprocessing.id != "campaign-v1":
            raise AdapterError(
                f"adapter {name!r} needs preprocessing {stored.contract.preprocessing.id!r}; streams are prepared with "
                "'campaign-v1' here. Train the adapter again."
            )
        attach(self.backbone, name, stored.settings, stored.tensors, str(stored.folder))
        self._contracts[name] = stored.contract
        if activate:
            self._active = name
        return name

    def set_adapter(self, name: str | None) -> None:
        """Switch to a resident adapter; None switches to the frozen backbone."""
        self._active = None if name is None else self._known(name)

    @contextmanager
    def using(self, name: str | None) -> Iterator[Picker]:
        """Switch to a resident adapter within a block, for this thread only."""
        token = self._here.set((None if name is None else self._known(name),))
        try:
            yield self
        finally:
            self._here.reset(token)

    @contextmanager
    def frozen(self) -> Iterator[Picker]:
        """Switch to the frozen backbone within a block, for this thread only."""
        with self.using(None):
            yield self

    def annotate(
        self,
        stream: Stream,
        stations: Inventory | StationTable | str | Path,
        *,
        stride_s: float | None = None,
        merge: Literal["mean", "median", "max"] = "mean",
        progress: Callable[[int, int], None] | None = None,
    ) -> Stream:
        """Probabilities as an obspy Stream: one trace a station and phase, channel `P` or `S`, at the network's rate.

        stride_s: real seconds between windows, by default half a window. merge: how overlapping windows are combined.
        Raises `CampaignError` for streams and stations that do not fit.
        """
        from obspy import Stream, Trace

        annotation = self.annotation(stream, stations, stride_s=stride_s, merge=merge, progress=progress)
        traces = []
        for station, curves in zip(annotation.recording.stations, annotation.probabilities, strict=True):
            network, code, location = station_fields(station.station_id)
            for phase, curve in zip(PHASES, curves, strict=True):
                header = {
                    "network": network,
                    "station": code,
                    "location": location,
                    "channel": phase,
                    "starttime": annotation.recording.start,
                    "sampling_rate": annotation.recording.rate_hz,
                }
                traces.append(Trace(np.ma.masked_invalid(curve) if np.isnan(curve).any() else curve, header))
        return Stream(traces)

    def classify(
        self,
        stream: Stream,
        stations: Inventory | StationTable | str | Path,
        *,
        P_threshold: float | None = None,
        S_threshold: float | None = None,
        stride_s: float | None = None,
        merge: Literal["mean", "median", "max"] = "mean",
        progress: Callable[[int, int], None] | None = None,
    ) -> PickList:
        """Picks of a stream, in time order; thresholds default to those the adapter chose on its validation events.

        Raises `CampaignError` for streams and stations that do not fit.
        """
        annotation = self.annotation(stream, stations, stride_s=stride_s, merge=merge, progress=progress)
        return self.picks(annotation, P_threshold=P_threshold, S_threshold=S_threshold)

    def annotation(
        self,
        stream: Stream,
        stations: Inventory | StationTable | str | Path,
        *,
        stride_s: float | None = None,
        merge: Literal["mean", "median", "max"] = "mean",
        progress: Callable[[int, int], None] | None = None,
    ) -> Annotation:
        """Probabilities as arrays, with the prepared record they belong to; its warnings are logged."""
        table = read_stations(stations)
        contract = self.contract()
        preprocessing = contract.preprocessing if contract else Preprocessing()
        recording = prepare(stream, table, preprocessing)
        annotation = self.annotate_recording(recording, stride_s=stride_s, merge=merge, progress=progress)
        for finding in condense(annotation.recording.findings):
            if finding.severity == "warning":
                log.warning("%s", finding.text)
        return annotation

    def annotation_as_upstream(
        self,
        stream: Stream,
        stations: Inventory | StationTable | str | Path,
        *,
        center: tuple[float, float] | None = None,
        edge_limit_km: float = 30.0,
        accelerometers: Collection[str] = (),
        progress: Callable[[int, int], None] | None = None,
    ) -> Annotation:
        """`annotation` with preprocessing "upstream-v1": as upstream's notebook does it, 10 ms early and all.

        For comparing the frozen backbone with published picks; adapters are trained with "campaign-v1" and refused.
        See `phaseno_peft.campaign.upstream_windows` for the arguments and the errors.
        """
        if self.active_adapter is not None:
            raise AdapterError(
                f"adapter {self.active_adapter!r} needs preprocessing 'campaign-v1'. Use picker.frozen() here."
            )
        cut = upstream_windows(
            stream, read_stations(stations), center=center, edge_limit_km=edge_limit_km, accelerometers=accelerometers
        )
        graph = StationGraph(torch.from_numpy(cut.coordinates), *torch.from_numpy(cut.edges))
        found = np.zeros((len(cut.starts), len(cut.coordinates), len(PHASES), cut.waveforms.shape[-1]), np.float32)
        device = next(self.backbone.parameters()).device
        with torch.inference_mode():
            for i in np.flatnonzero(cut.complete):
                logits = self.backbone(torch.from_numpy(cut.waveforms[i]).to(device), graph.to(device))
                found[i] = torch.sigmoid(logits).cpu().numpy()
                if progress is not None:
                    progress(int(i) + 1, len(found))
        merged = merge_upstream(cut.starts, found)
        return Annotation(cut.recording, merged[..., : cut.recording.n_samples])

    def annotate_recording(
        self,
        recording: Recording,
        *,
        stride_s: float | None = None,
        merge: Literal["mean", "median", "max"] = "mean",
        progress: Callable[[int, int], None] | None = None,
    ) -> Annotation:
        """`annotation` of a record that is already prepared for the adapter in force."""
        name, contract = self.active_adapter, self.contract()
        preprocessing = contract.preprocessing if contract else Preprocessing()
        parts, findings = networks(recording, contract.frame if contract else None, preprocessing)
        recording = replace(recording, findings=(*recording.findings, *findings))
        pairs = [pair for part, frame in parts for pair in sliding_windows(part, frame, preprocessing, stride_s)]
        with selected_adapter(name):
            windows, edge_limit_km = [window for _, window in pairs], parts[0][1].edge_limit_km
            found = window_probabilities(self.backbone, windows, edge_limit_km, progress)
        taper = round(TAPER_S * preprocessing.network_rate_hz)
        merged = merge_windows(recording, pairs, found, merge, taper)
        return Annotation(recording, merged)

    def picks(
        self, annotation: Annotation, *, P_threshold: float | None = None, S_threshold: float | None = None
    ) -> PickList:
        """Picks of an annotation made with the adapter in force."""
        contract, defaults = self.contract(), BackboneDefaults()
        thresholds = dict(contract.thresholds if contract else self.backbone_thresholds)
        for phase, given in (("P", P_threshold), ("S", S_threshold)):
            thresholds[phase] = thresholds[phase] if given is None else given
        min_distance_s = contract.min_distance_s if contract else defaults.min_distance_s
        factors = contract.uncertainty_factor if contract else defaults.uncertainty_factor
        network_rate_hz = contract.preprocessing.network_rate_hz if contract else Preprocessing().network_rate_hz
        min_distance_samples = round(min_distance_s * network_rate_hz)
        creator = self.active_adapter or f"frozen {self.backbone_name}"
        return picks_of(annotation, thresholds, min_distance_samples, factors, creator)

    def _known(self, name: str) -> str:
        if name not in self._contracts:
            there = ", ".join(self.adapters) or "none yet"
            raise AdapterError(f"adapter {name!r} is not resident (resident: {there}). Call picker.load_adapter first.")
        return name


def load_adapter(
    name: str | Path, backbone: str | Path | None = None, device: str | torch.device | None = None
) -> Picker:
    """A picker with adapter `name` active: a folder, or a name in the user's library.

    backbone: name or folder; by default the embedded one the adapter was trained on. Raises `AdapterError`.
    """
    stored = read_adapter(name)
    picker = Picker.load(backbone or EMBEDDED, device)
    picker.add_adapter(stored)
    return picker
