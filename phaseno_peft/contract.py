"""What an adapter promises about its data. Plain dataclasses and JSON, no torch.

Written by training, verified by loading, shown by ``phaseno-peft adapters show NAME``; stored under ``contract`` in
``adapter_config.json``.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from phaseno_peft.errors import AdapterError

if TYPE_CHECKING:
    from torch import Tensor

CONTRACT_VERSION = 1
PHASES = ("P", "S")
"""Order of the two channels of targets, probabilities and logits everywhere."""

LabelConvention = Literal["onset", "peak", "trough", "unknown"]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How recorded samples become network input. All times and rates are real unless said to be the network's."""

    id: Literal["campaign-v1", "upstream-v1"] = "campaign-v1"
    network_rate_hz: float = 100.0
    """Rate the network was trained at."""
    window_samples: int = 3000
    """Samples of one window at the network's rate: 30 s for the network, 30/time_scale s in reality."""
    highpass_hz: float = 1.0
    """Butterworth corner in the network's time; the real corner is highpass_hz * time_scale."""
    component_order: Literal["ENZ"] = "ENZ"
    normalisation: Literal["window-std-over-10"] = "window-std-over-10"
    """Each trace of a window: (x - mean) / std / 10."""
    resampler: Literal["polyphase"] = "polyphase"
    time_scale: float = 1.0
    """k: the data are declared k times slower and k times larger than they are (DESIGN section 4)."""

    @property
    def rate_hz(self) -> float:
        """Rate the data are really brought to: network_rate_hz * time_scale."""
        return self.network_rate_hz * self.time_scale

    @property
    def window_s(self) -> float:
        """Real duration of one window."""
        return self.window_samples / self.rate_hz


@dataclass(frozen=True, slots=True)
class Frame:
    """Where the network's coordinates come from: local kilometres around a centre, 222 km to the unit square."""

    center_latitude_deg: float
    center_longitude_deg: float
    edge_limit_km: float = 30.0
    """Stations farther apart than this (after time scaling) exchange no messages; upstream's default."""


@dataclass(frozen=True, slots=True)
class LabelOffset:
    """Median of (AIC onset - catalogue pick) on clear arrivals: positive where the picks are early."""

    n: int
    median_s: float | None
    quartiles_s: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Counts and origins of what an adapter was trained on; never waveforms."""

    campaign: str
    label_source: Literal["analyst", "automatic", "simulated", "unknown"]
    seed: int
    train_events: int
    validation_events: int
    test_events: int
    train_windows: int
    train_noise_windows: int
    train_picks: dict[str, int]
    split: str
    """How the split was made, in a sentence."""
    split_sha256: dict[str, str]
    """Digest of the sorted event ids of each side."""
    stations: list[str]


@dataclass(frozen=True, slots=True)
class Contract:
    """Everything an adapter must agree on with the data and the backbone it meets (DESIGN section 4)."""

    backbone_name: str
    backbone_fingerprint: str
    preprocessing: Preprocessing
    frame: Frame
    label_convention: LabelConvention
    label_offset: dict[str, LabelOffset]
    thresholds: dict[str, float]
    """Probability above which a peak is a pick, per phase, chosen on validation."""
    min_distance_s: float
    """Two picks of one phase on one station are at least this far apart, in the network's time."""
    uncertainty_factor: dict[str, float]
    """One-sigma pick uncertainty = factor * half width at half height of the probability peak."""
    provenance: Provenance
    versions: dict[str, str]
    tensors_sha256: str = ""
    """Digest of the adapter's tensors: names, kinds, shapes, bytes; filled in when the adapter is written."""
    contract_version: int = CONTRACT_VERSION

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types only."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Contract:
        """Inverse of `to_json`. Raises `AdapterError` on an unknown version, a missing or a left-over field."""
        version = raw.get("contract_version")
        if version != CONTRACT_VERSION:
            raise AdapterError(
                f"adapter contract version is {version!r}, this phaseno-peft reads version {CONTRACT_VERSION}. "
                "Install the phaseno-peft version named on the adapter's card, or train the adapter again."
            )
        fields = dict(raw)
        try:
            fields["preprocessing"] = Preprocessing(**fields["preprocessing"])
            fields["frame"] = Frame(**fields["frame"])
            fields["label_offset"] = {
                phase: LabelOffset(
                    n=o["n"],
                    median_s=o["median_s"],
                    quartiles_s=None if o["quartiles_s"] is None else (o["quartiles_s"][0], o["quartiles_s"][1]),
                )
                for phase, o in fields["label_offset"].items()
            }
            fields["provenance"] = Provenance(**fields["provenance"])
            return cls(**fields)
        except (KeyError, TypeError, AttributeError) as error:
            raise AdapterError(
                f"adapter contract is damaged: {error}. Fetch the adapter again, or train it again."
            ) from error


@dataclass(frozen=True, slots=True)
class BackboneDefaults:
    """How the frozen backbone is used where no adapter speaks: thresholds chosen on its own pre-training data."""

    thresholds: dict[str, float] = field(default_factory=lambda: {"P": 0.3, "S": 0.3})
    min_distance_s: float = 0.5
    uncertainty_factor: dict[str, float] = field(default_factory=lambda: {"P": 1.0, "S": 1.0})


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over sorted names, kinds, shapes and bytes."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        tensor = tensors[key].detach().cpu().contiguous()
        digest.update(f"{key} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
