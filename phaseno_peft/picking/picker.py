"""A picker: one frozen backbone, any number of resident adapters, streams in, picks out."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from obspy import UTCDateTime

from phaseno_peft.backbone import EMBEDDED, backbone_info, fingerprint, load_backbone
from phaseno_peft.campaign import Recording, StationTable, read_stations
from phaseno_peft.campaign.findings import Finding, condense
from phaseno_peft.campaign.run import OnFindings, Run
from phaseno_peft.campaign.runs import Runs
from phaseno_peft.campaign.sources import Source
from phaseno_peft.campaign.waveform_files import ChannelMap
from phaseno_peft.contract import Contract, Frame, Preprocessing, tensors_sha256
from phaseno_peft.cr_lora import ResidentAdapter
from phaseno_peft.cr_lora.attach import make_resident
from phaseno_peft.cr_lora.resident import changing, not_resident, prepare_layers
from phaseno_peft.errors import AdapterError, CampaignError
from phaseno_peft.library.folds import read_folds
from phaseno_peft.library.store import StoredAdapter, read_adapter
from phaseno_peft.picking.annotations import BLOCK_S, Annotation, Around, Merge, Progress, annotate_runs, picks_of
from phaseno_peft.picking.pickled_network import PickledNetwork
from phaseno_peft.picking.probability_traces import probability_stream
from phaseno_peft.picking.quiet_windows import Gate, weakest_pick
from phaseno_peft.picks import PickList

if TYPE_CHECKING:
    from obspy import Inventory, Stream

log = logging.getLogger(__name__)
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

    @property
    def in_force(self) -> ResidentAdapter | None:
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
        adapter = self.in_force
        return None if adapter is None else adapter.name

    @property
    def adapters(self) -> list[str]:
        """Names of resident adapters."""
        return sorted(self._residents.adapters)

    def contract(self, name: str | None = None) -> Contract | None:
        """Contract of a resident adapter, by default the active one; None for the frozen backbone."""
        adapter = self.in_force if name is None else self._residents.adapter(name)
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

    def load_adapter(
        self, name_or_path: str | Path, *, name: str | None = None, activate: bool = True, ensemble: bool = False
    ) -> str:
        """Make an adapter resident and (by default) active; returns its name. Nothing changes if anything is wrong.

        `ensemble` picks with the mean of the adapters of its folds, see `load_adapter`. Raises `AdapterError` for a
        missing, altered or incomplete adapter, or one of another backbone, and for folds that are not stored.
        """
        stored = read_adapter(name_or_path)
        name = name or stored.name
        self._add(stored, name, activate=activate, folds=read_folds(stored) if ensemble else ())
        return name

    def add_adapter(self, stored: StoredAdapter, *, name: str | None = None, activate: bool = True) -> str:
        """`load_adapter` for an adapter that is already in memory."""
        self._add(stored, name or stored.name, activate=activate)
        return name or stored.name

    def _add(self, stored: StoredAdapter, name: str, *, activate: bool, folds: Sequence[StoredAdapter] = ()) -> None:
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
        made, *members = (  # aside: picks go on
            make_resident(self.backbone, name, one.settings, one.tensors, str(one.folder), one.contract)
            for one in (stored, *folds)
        )
        if members:
            made = replace(made, members=tuple(members))
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
        with self._holding(self.in_force):
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

    def classify(
        self,
        source: Source,
        stations: Inventory | StationTable | str | Path,
        *,
        P_threshold: float | None = None,
        S_threshold: float | None = None,
        stride_s: float | None = None,
        merge: Merge = "mean",
        block_s: float | None = BLOCK_S,
        gate: Gate = "auto",
        channels: ChannelMap | str | Path | None = None,
        skip_unreadable: bool = False,
        starttime: UTCDateTime | None = None,
        endtime: UTCDateTime | None = None,
        frame: Frame | None = None,
        progress: Progress | None = None,
        on_findings: OnFindings | None = None,
    ) -> PickList:
        """Picks of a source, in time order; thresholds default to those the adapter chose on its validation events.

        What the source may be and how it is read says `iter_annotations`. starttime, endtime: the picks of the whole
        from one time up to (not at) another, for which no more is read than they hang on; of records up to half an hour
        long all is. frame: see `annotate_runs`. gate: "auto" leaves out the operator for
        windows in which the stem hears nothing (`phaseno_peft.picking.quiet_windows`), unless a threshold lies below
        0.4; "off" picks every window. Raises `CampaignError` for records and stations that do not fit.
        """
        with self.held():
            lowest = weakest_pick(gate, self.thresholds, {"P": P_threshold, "S": S_threshold})
            between = (starttime, endtime)
            runs = self._runs(source, stations, channels, skip_unreadable, on_findings, between)
            blocks = self.annotations(
                runs,
                stride_s=stride_s,
                merge=merge,
                block_s=block_s,
                lowest_threshold=lowest,
                frame=frame,
                progress=progress,
            )
        picks = picks_of(blocks, P_threshold=P_threshold, S_threshold=S_threshold).between(starttime, endtime)
        picks.findings = runs.findings
        return picks

    def annotate(
        self,
        source: Source,
        stations: Inventory | StationTable | str | Path,
        *,
        stride_s: float | None = None,
        merge: Merge = "mean",
        channels: ChannelMap | str | Path | None = None,
        skip_unreadable: bool = False,
        progress: Progress | None = None,
        on_findings: OnFindings | None = None,
    ) -> Stream:
        """Probabilities as an obspy Stream: one trace a run, station and phase, channel `P` or `S`, at the network's
        rate. Traces of an adapter with a constant shift of its picks start that much later. For records that are too
        long to be held as curves, see `iter_annotations`."""
        with self.held():
            runs = self._runs(source, stations, channels, skip_unreadable, on_findings)
            blocks = self.annotations(runs, stride_s=stride_s, merge=merge, progress=progress)
        return probability_stream(blocks)

    def iter_annotations(
        self,
        source: Source,
        stations: Inventory | StationTable | str | Path,
        *,
        stride_s: float | None = None,
        merge: Merge = "mean",
        block_s: float | None = BLOCK_S,
        channels: ChannelMap | str | Path | None = None,
        skip_unreadable: bool = False,
        progress: Progress | None = None,
        on_findings: OnFindings | None = None,
    ) -> Iterator[Annotation]:
        """Probabilities block by block, in time order, in memory that does not grow with the record.

        source: a file, a folder, several files, an obspy Stream, named Streams, or an iterable of Streams (the answers
        of an obspy client; they wait in temporary files). Records that overlap or touch are one run, however many files
        hold them; `picks_of` makes the same picks of any `block_s` (real seconds; None for one block a run).
        stride_s: real seconds between windows, by default half a window. merge: how overlapping windows are combined.
        channels: what unknown codes of files mean, see `read_channels`. skip_unreadable: leave out files that cannot be
        read, which `on_findings` tells, instead of raising `CampaignError`. Findings are logged where nobody asks for
        them. The adapter in force now is kept to the end.
        """
        with self.held():
            runs = self._runs(source, stations, channels, skip_unreadable, on_findings)
            return self.annotations(runs, stride_s=stride_s, merge=merge, block_s=block_s, progress=progress)

    def annotation(
        self,
        source: Source,
        stations: Inventory | StationTable | str | Path,
        *,
        stride_s: float | None = None,
        merge: Merge = "mean",
        progress: Progress | None = None,
    ) -> Annotation:
        """`iter_annotations` of a source that is one run, as one block. Raises `CampaignError` where it is several."""
        blocks = self.iter_annotations(
            source, stations, stride_s=stride_s, merge=merge, block_s=None, progress=progress
        )
        annotation = next(blocks)
        if (other := next(blocks, None)) is not None:
            raise CampaignError(
                f"the records are several runs, one from {annotation.recording.start} and one from "
                f"{other.recording.start}. Take iter_annotations, or give the records of one."
            )
        return annotation

    def annotate_recording(
        self,
        recording: Recording,
        *,
        stride_s: float | None = None,
        merge: Merge = "mean",
        progress: Progress | None = None,
    ) -> Annotation:
        """`annotation` of a record that is already prepared for the adapter in force."""
        runs = [Run.of(recording)]
        return next(self.annotations(runs, stride_s=stride_s, merge=merge, block_s=None, progress=progress))

    def annotations(
        self,
        runs: Runs | Sequence[Run],
        *,
        stride_s: float | None = None,
        merge: Merge = "mean",
        block_s: float | None = BLOCK_S,
        lowest_threshold: float | None = None,
        frame: Frame | None = None,
        around: Around | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Annotation]:
        """`iter_annotations` of runs that are prepared for the adapter in force; it is kept to the end.

        lowest_threshold: quiet windows get zeros where no pick below it is wanted; frame, around: see `annotate_runs`.
        """
        adapter = self.in_force
        return annotate_runs(
            runs,
            self.backbone,
            adapter,
            creator=f"frozen {self.backbone_name}" if adapter is None else adapter.name,
            backbone_thresholds=self.backbone_thresholds,
            stride_s=stride_s,
            merge=merge,
            block_s=block_s,
            lowest_threshold=lowest_threshold,
            frame=frame,
            around=around,
            progress=progress,
        )

    def _runs(
        self,
        source: Source,
        stations: Inventory | StationTable | str | Path,
        channels: ChannelMap | str | Path | None,
        skip_unreadable: bool,
        on_findings: OnFindings | None,
        between: tuple[UTCDateTime | None, UTCDateTime | None] = (None, None),
    ) -> Runs:
        return Runs(
            source,
            read_stations(stations),
            self.preprocessing,
            channels=channels,
            skip_unreadable=skip_unreadable,
            on_findings=on_findings or _log_warnings,
            between=between,
        )

    @property
    def preprocessing(self) -> Preprocessing:
        """How records are prepared for the adapter in force, or for the frozen backbone."""
        contract = self.contract()
        return contract.preprocessing if contract else Preprocessing()

    @property
    def member_digests(self) -> list[str]:
        """SHA-256 of the tensors of each adapter of the ensemble in force; empty where one picks alone."""
        adapter = self.in_force
        return [] if adapter is None else [tensors_sha256(member.tensors()) for member in adapter.members]

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Phase -> probability above which a peak is a pick, of the adapter in force or the frozen backbone."""
        contract = self.contract()
        return contract.thresholds if contract else self.backbone_thresholds

    def picks(
        self,
        annotations: Annotation | Iterable[Annotation],
        *,
        P_threshold: float | None = None,
        S_threshold: float | None = None,
    ) -> PickList:
        """`picks_of`: picks of annotations, at the thresholds of what made them unless others are given."""
        return picks_of(annotations, P_threshold=P_threshold, S_threshold=S_threshold)

    def __reduce__(self) -> tuple[Any, ...]:
        """Backbone and adapters as plain numbers with their digests: verified again on unpickling."""
        in_force = self.in_force
        adapters = {**self._residents.adapters, **({} if in_force is None else {in_force.name: in_force})}
        network = PickledNetwork.of(self.backbone, self.backbone_name, self.backbone_fingerprint, adapters.values())
        return _unpickle_picker, (type(self), network, self.backbone_thresholds, in_force and in_force.name)


def _unpickle_picker(
    kind: type[Picker], network: PickledNetwork, thresholds: dict[str, float], active: str | None
) -> Picker:
    """A picker from what `Picker.__reduce__` sent. Raises `BackboneError` and `AdapterError` for what was altered."""
    picker = kind(network.backbone(), network.name, dict(thresholds))
    picker.set_adapter(active)
    return picker


def _log_warnings(findings: Sequence[Finding]) -> None:
    for finding in condense(findings):
        if finding.severity == "warning":
            log.warning("%s", finding.text)


def load_adapter(
    name: str | Path,
    backbone: str | Path | None = None,
    device: str | torch.device | None = None,
    *,
    ensemble: bool = False,
) -> Picker:
    """A picker with adapter `name` active: a folder, or a name in the user's library.

    backbone: name or folder; by default the embedded one the adapter was trained on. ensemble: picks are those of the
    mean curve of its folds' adapters (K times the operator's time, no window left out as quiet), and their spread
    stands on each pick; they must have been stored with `train-adapter --keep-folds`. Raises `AdapterError`.
    """
    stored = read_adapter(name)
    folds = read_folds(stored) if ensemble else ()
    picker = Picker.load(backbone or EMBEDDED, device)
    picker._add(stored, stored.name, activate=True, folds=folds)
    return picker
