"""A picker: one frozen backbone, any number of resident adapters, streams in, picks out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray

from phaseno_peft.backbone import (
    EMBEDDED,
    PhaseNO,
    PhaseNOConfig,
    StationGraph,
    backbone_info,
    fingerprint,
    load_backbone,
)
from phaseno_peft.backbone.weights import apply_state
from phaseno_peft.campaign import (
    Recording,
    StationTable,
    merge_upstream,
    prepare,
    read_stations,
    upstream_windows,
)
from phaseno_peft.campaign.findings import condense, warnings_first
from phaseno_peft.contract import EDGE_LIMIT_KM, PHASES, BackboneDefaults, Contract, Preprocessing, tensors_sha256
from phaseno_peft.cr_lora import CRLoraSettings, ResidentAdapter, attach, selected_adapter
from phaseno_peft.cr_lora.attach import make_resident
from phaseno_peft.cr_lora.resident import changing, not_resident, prepare_layers
from phaseno_peft.errors import AdapterError, BackboneError
from phaseno_peft.library.store import StoredAdapter, read_adapter
from phaseno_peft.picking.inference import merge_windows, networks, sliding_windows, window_probabilities
from phaseno_peft.picks import Pick, PickList
from phaseno_peft.picks.peaks import find_picks
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
    creator: str = "frozen"
    """Adapter or backbone that made it, as `PickList.creator` says it."""
    contract: Contract | None = None
    """The adapter's, None without one."""
    thresholds: Mapping[str, float] = field(default_factory=lambda: BackboneDefaults().thresholds)
    """Phase -> probability above which a peak is a pick."""


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


_Choices = tuple[tuple["Picker", ResidentAdapter | None], ...]
_CHOSEN: ContextVar[_Choices] = ContextVar("phaseno_peft_chosen_adapters", default=())
"""What `using` chose in this context, of all pickers, the latest last."""


class Picker:
    """Picks P and S on a whole network. Made by `load_adapter` or `Picker.load`; any number of threads may use one.

    `set_adapter` chooses the adapter of every pick that begins afterwards, in all threads; a pick that has begun keeps
    the one it began with; `using` chooses for its own thread alone. Loading, reloading and removing touch no pick that
    runs. A picker can be pickled and copied: backbone, adapters and the choice in force travel with it.
    """

    def __init__(self, backbone: torch.nn.Module, name: str, thresholds: dict[str, float]) -> None:
        self.backbone = backbone
        self.backbone_name = name
        self.backbone_fingerprint = fingerprint(backbone)
        self.backbone_thresholds = thresholds
        self._residents = prepare_layers(backbone)
        self._active: str | None = None

    @classmethod
    def load(cls, backbone: str | Path = EMBEDDED, device: str | torch.device | None = None) -> Picker:
        """A picker with the frozen backbone only. Raises `BackboneError`."""
        card = backbone_info(backbone)
        return cls(load_backbone(backbone, device or "cpu"), card.name, dict(card.thresholds))

    def _in_force(self) -> ResidentAdapter | None:
        """The adapter in force in this thread, weights and contract in one; None is the frozen backbone."""
        for picker, chosen in reversed(_CHOSEN.get()):
            if picker is self:
                return chosen
        while (name := self._active) is not None:
            adapter = self._residents.adapters.get(name)
            if adapter is not None:
                return adapter
            if name == self._active:
                raise AdapterError(not_resident(name, self.adapters))
        return None

    @property
    def active_adapter(self) -> str | None:
        """Name of the adapter in force in this thread; None is the frozen backbone."""
        adapter = self._in_force()
        return None if adapter is None else adapter.name

    @property
    def adapters(self) -> list[str]:
        """Names of resident adapters."""
        return sorted(self._residents.adapters)

    def contract(self, name: str | None = None) -> Contract | None:
        """Contract of a resident adapter, by default the active one; None for the frozen backbone."""
        adapter = self._in_force() if name is None else self._residents.adapter(name)
        return None if adapter is None else adapter.contract

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
        self._add(stored, name or stored.name, activate=activate)
        return name or stored.name

    def _add(self, stored: StoredAdapter, name: str, *, activate: bool) -> None:
        preprocessing, network = stored.contract.preprocessing, getattr(self.backbone, "phaseno_config", None)
        if stored.contract.backbone_fingerprint != self.backbone_fingerprint:
            raise AdapterError(
                f"adapter {name!r} was trained on backbone {stored.contract.backbone_name!r} "
                f"({stored.contract.backbone_fingerprint[:12]}), this picker has {self.backbone_name!r} "
                f"({self.backbone_fingerprint[:12]}). Load that backbone, or train the adapter again."
            )
        if preprocessing.id != "campaign-v1":
            raise AdapterError(
                f"adapter {name!r} needs preprocessing {preprocessing.id!r}; streams are prepared with "
                "'campaign-v1' here. Train the adapter again."
            )
        if network is not None and network.window_samples != preprocessing.window_samples:
            raise AdapterError(
                f"adapter {name!r} needs windows of {preprocessing.window_samples} samples, the backbone takes "
                f"{network.window_samples}. Fetch the adapter again."
            )
        made = make_resident(
            self.backbone, name, stored.settings, stored.tensors, str(stored.folder), stored.contract
        )  # aside: picks go on
        with changing():
            self._residents.put(made)
            if activate:
                self._active = name

    def remove_adapter(self, name: str) -> None:
        """Forget a resident adapter; picks that have begun with it end with it.

        Raises `AdapterError` if it is not resident, and for the one that `set_adapter` chose: choose another first.
        """
        with changing():
            self._residents.adapter(name)
            if name == self._active:
                raise AdapterError(f"adapter {name!r} is active. Choose another with set_adapter, or None, first.")
            self._residents.drop(name)

    def set_adapter(self, name: str | None) -> None:
        """Choose the adapter of every pick that begins afterwards, in all threads; None chooses the frozen backbone.

        A pick that has begun keeps the one it began with. Raises `AdapterError` if the adapter is not resident.
        """
        with changing():
            self._active = None if name is None else self._residents.adapter(name).name

    @contextmanager
    def using(self, name: str | None) -> Iterator[Picker]:
        """Choose a resident adapter within a block, for this thread alone; reloading or removing it changes nothing
        inside. Raises `AdapterError` if it is not resident."""
        with self._holding(None if name is None else self._residents.adapter(name)):
            yield self

    @contextmanager
    def held(self) -> Iterator[Picker]:
        """Keep, within a block and for this thread, the adapter in force at its beginning, whatever others choose."""
        with self._holding(self._in_force()):
            yield self

    @contextmanager
    def _holding(self, adapter: ResidentAdapter | None) -> Iterator[None]:
        token = _CHOSEN.set((*_CHOSEN.get(), (self, adapter)))
        try:
            yield
        finally:
            _CHOSEN.reset(token)

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
        with self.held():
            contract = self.contract()
            recording = prepare(stream, table, contract.preprocessing if contract else Preprocessing())
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
        edge_limit_km: float = EDGE_LIMIT_KM,
        accelerometers: Collection[str] = (),
        progress: Callable[[int, int], None] | None = None,
    ) -> Annotation:
        """`annotation` with preprocessing "upstream-v1": as upstream's notebook does it, 10 ms early and all.

        For comparing the frozen backbone with published picks; adapters are trained with "campaign-v1" and refused.
        See `phaseno_peft.campaign.upstream_windows` for the arguments and the errors.
        """
        if (adapter := self._in_force()) is not None:
            raise AdapterError(f"adapter {adapter.name!r} needs preprocessing 'campaign-v1'. Use picker.frozen() here.")
        cut = upstream_windows(
            stream, read_stations(stations), center=center, edge_limit_km=edge_limit_km, accelerometers=accelerometers
        )
        graph = StationGraph(torch.from_numpy(cut.coordinates), *torch.from_numpy(cut.edges))
        found = np.zeros((len(cut.starts), len(cut.coordinates), len(PHASES), cut.waveforms.shape[-1]), np.float32)
        device = next(self.backbone.parameters()).device
        with torch.inference_mode(), selected_adapter(None):
            for i in np.flatnonzero(cut.complete):
                logits = self.backbone(torch.from_numpy(cut.waveforms[i]).to(device), graph.to(device))
                found[i] = torch.sigmoid(logits).cpu().numpy()
                if progress is not None:
                    progress(int(i) + 1, len(found))
        merged = merge_upstream(cut.starts, found)
        return self._annotation(cut.recording, merged[..., : cut.recording.n_samples], None)

    def annotate_recording(
        self,
        recording: Recording,
        *,
        stride_s: float | None = None,
        merge: Literal["mean", "median", "max"] = "mean",
        progress: Callable[[int, int], None] | None = None,
    ) -> Annotation:
        """`annotation` of a record that is already prepared for the adapter in force."""
        adapter = self._in_force()
        contract = None if adapter is None else adapter.contract
        preprocessing = contract.preprocessing if contract else Preprocessing()
        parts, findings = networks(recording, contract.frame if contract else None, preprocessing)
        recording = replace(recording, findings=(*recording.findings, *findings))
        pairs = [pair for part, frame in parts for pair in sliding_windows(part, frame, preprocessing, stride_s)]
        with selected_adapter(adapter):
            windows, edge_limit_km = [window for _, window in pairs], parts[0][1].edge_limit_km
            found = window_probabilities(self.backbone, windows, edge_limit_km, progress)
        taper = round(TAPER_S * preprocessing.network_rate_hz)
        merged = merge_windows(recording, pairs, found, merge, taper)
        return self._annotation(recording, merged, adapter)

    def _annotation(
        self, recording: Recording, probabilities: NDArray[np.float32], adapter: ResidentAdapter | None
    ) -> Annotation:
        contract = None if adapter is None else adapter.contract
        thresholds = self.backbone_thresholds if contract is None else contract.thresholds
        creator = f"frozen {self.backbone_name}" if adapter is None else adapter.name
        return Annotation(recording, probabilities, creator, contract, dict(thresholds))

    def picks(
        self, annotation: Annotation, *, P_threshold: float | None = None, S_threshold: float | None = None
    ) -> PickList:
        """Picks of an annotation, at the thresholds of what made it unless others are given."""
        contract, defaults = annotation.contract, BackboneDefaults()
        thresholds = dict(annotation.thresholds)
        for phase, given in (("P", P_threshold), ("S", S_threshold)):
            thresholds[phase] = thresholds[phase] if given is None else given
        min_distance_s = contract.min_distance_s if contract else defaults.min_distance_s
        factors = contract.uncertainty_factor if contract else defaults.uncertainty_factor
        network_rate_hz = contract.preprocessing.network_rate_hz if contract else Preprocessing().network_rate_hz
        min_distance_samples = round(min_distance_s * network_rate_hz)
        return picks_of(annotation, thresholds, min_distance_samples, factors, annotation.creator)

    def __reduce__(self) -> tuple[Any, ...]:
        """Backbone and adapters as plain numbers with their digests: verified again on unpickling."""
        in_force = self._in_force()
        adapters = {**self._residents.adapters, **({} if in_force is None else {in_force.name: in_force})}
        pickled_adapters = [_PickledAdapter.of(adapter) for adapter in adapters.values()]
        state = {key: tensor.detach().cpu().numpy() for key, tensor in self.backbone.state_dict().items()}
        device = str(next(self.backbone.parameters()).device)
        about = (self.backbone_name, self.backbone_fingerprint, self.backbone_thresholds)
        config = cast(PhaseNO, self.backbone).phaseno_config.to_json()
        return _unpickle_picker, (
            type(self),
            about,
            config,
            state,
            device,
            pickled_adapters,
            in_force and in_force.name,
        )


@dataclass(frozen=True)
class _PickledAdapter:
    """A resident adapter as plain numbers, for pickling a `Picker`."""

    name: str
    settings: dict[str, Any]
    contract: dict[str, Any] | None
    tensors: dict[str, NDArray[np.float32]]
    tensors_sha256: str

    @classmethod
    def of(cls, adapter: ResidentAdapter) -> _PickledAdapter:
        tensors, settings = adapter.tensors(), adapter.settings.to_json()
        arrays = {key: tensor.cpu().numpy().copy() for key, tensor in tensors.items()}
        contract = None if adapter.contract is None else adapter.contract.to_json()
        return cls(adapter.name, settings, contract, arrays, tensors_sha256(tensors))


def _unpickle_picker(
    kind: type[Picker],
    about: tuple[str, str, dict[str, float]],
    config: dict[str, Any],
    state: dict[str, NDArray[Any]],
    device: str,
    pickled_adapters: Sequence[_PickledAdapter],
    active: str | None,
) -> Picker:
    """A picker from what `Picker.__reduce__` sent. Raises `BackboneError` and `AdapterError` for what was altered."""
    name, sent, thresholds = about
    backbone = PhaseNO(PhaseNOConfig.from_json(config))
    apply_state(backbone, {key: torch.tensor(array) for key, array in state.items()}, f"backbone {name!r}, pickled")
    backbone.name_or_path = name
    picker = kind(backbone.to(_available_device(device)).eval().requires_grad_(False), name, dict(thresholds))
    if picker.backbone_fingerprint != sent:
        raise BackboneError(
            f"the pickled picker's backbone has fingerprint {picker.backbone_fingerprint[:12]}, {sent[:12]} was sent. "
            "Send it again."
        )
    for each in pickled_adapters:
        tensors = {key: torch.tensor(array) for key, array in each.tensors.items()}
        if (seen := tensors_sha256(tensors)) != each.tensors_sha256:
            raise AdapterError(
                f"the pickled adapter {each.name!r} has tensors of SHA-256 {seen[:12]}, {each.tensors_sha256[:12]} was "
                "sent. Send it again."
            )
        contract = None if each.contract is None else Contract.from_json(each.contract)
        settings = CRLoraSettings(**each.settings)
        attach(picker.backbone, each.name, settings, tensors, f"adapter {each.name!r}, pickled", contract)
    picker.set_adapter(active)
    return picker


def _available_device(device: str) -> str:
    """The device if this machine has it, else the CPU."""
    kind, _, index = device.partition(":")
    there = torch.cuda.device_count() if kind == "cuda" else int(kind == "mps" and torch.backends.mps.is_available())
    return device if int(index or 0) < there else "cpu"


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
