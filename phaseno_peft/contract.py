"""What an adapter promises about its data. Plain dataclasses and JSON, no torch.

Written by training, verified by loading, shown by ``phaseno-peft adapters show NAME``; stored under ``contract`` in
``adapter_config.json``.
"""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, MaxLen

from phaseno_peft.errors import AdapterError
from phaseno_peft.schema import Count, Digest, DigestOrEmpty, Line, Rule, Seed, Word, checked, strict

if TYPE_CHECKING:
    from torch import Tensor

CONTRACT_VERSION = 1
PHASES = ("P", "S")
"""Order of the two channels of targets, probabilities and logits everywhere."""
COMPONENTS: Literal["ENZ"] = "ENZ"
"""Order of the three channels of the network's input everywhere."""
NETWORK_RATE_HZ = 100.0
"""Rate the network was trained at (Sun et al. 2023)."""
WINDOW_SAMPLES = 3000
"""Samples of one window of the network: 30 s."""
KM_PER_UNIT = 222.0
"""Upstream maps two degrees of 111 km to the unit square, whose middle is (0.5, 0.5)."""
EDGE_LIMIT_KM = 30.0
"""Upstream's: stations farther apart exchange no messages."""
MESSAGE_HOPS = 5
"""Graph blocks of the network, each of which carries messages over one edge: what a station hears comes no further."""
LARGEST_PICK_SHIFT_S = 0.5
"""In the network's time; the tolerance within which a pick is that of a label, and over twice half a label's base."""
NO_SHIFT_S: Mapping[str, float] = MappingProxyType(dict.fromkeys(PHASES, 0.0))
"""`Contract.pick_shift_s` where picks are given out as the network makes them."""

_PhaseCount = Annotated[dict[str, Count], Rule(lambda phases: set(phases) <= set(PHASES), "be of P and S")]
_PerPhase = Rule(lambda phases: set(phases) == set(PHASES), "have P and S and nothing else")
Thresholds = Annotated[dict[str, Annotated[float, Ge(0), Le(1)]], _PerPhase]
Second = Annotated[float, Ge(-1e4), Le(1e4)]
NORMAL_95 = 1.96
"""Standard deviations of a normal distribution that 95 % lie within."""
_Knots = Annotated[tuple[Annotated[float, Ge(0), Le(1e4)], ...], MaxLen(50)]
LabelConvention = Literal["onset", "peak", "trough", "unknown"]


@strict
@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How recorded samples become network input. All times and rates are real unless said to be the network's."""

    id: Literal["campaign-v1", "upstream-v1"] = "campaign-v1"
    network_rate_hz: Annotated[float, Gt(0), Le(1e5)] = NETWORK_RATE_HZ
    window_samples: Annotated[int, Ge(1), Le(10**6)] = WINDOW_SAMPLES
    """Samples of one window at the network's rate: 30 s for the network, 30/time_scale s in reality."""
    highpass_hz: Annotated[float, Gt(0), Le(1e5)] = 1.0
    """Butterworth corner in the network's time; the real corner is highpass_hz * time_scale."""
    component_order: Literal["ENZ"] = COMPONENTS
    normalisation: Literal["window-std-over-10"] = "window-std-over-10"
    """Each trace of a window: (x - mean) / std / 10."""
    resampler: Literal["polyphase"] = "polyphase"
    time_scale: Annotated[float, Gt(0), Le(1e6)] = 1.0
    """k: the data are declared k times slower and k times larger than they are (DESIGN section 4)."""

    @property
    def rate_hz(self) -> float:
        """Rate the data are really brought to: network_rate_hz * time_scale."""
        return self.network_rate_hz * self.time_scale

    @property
    def window_s(self) -> float:
        """Real duration of one window."""
        return self.window_samples / self.rate_hz


@strict
@dataclass(frozen=True, slots=True)
class Frame:
    """Where the network's coordinates come from: local kilometres around a centre, `KM_PER_UNIT` to the unit square."""

    center_latitude_deg: Annotated[float, Ge(-90), Le(90)]
    center_longitude_deg: Annotated[float, Ge(-360), Le(360)]
    edge_limit_km: Annotated[float, Ge(0), Le(4e4)] = EDGE_LIMIT_KM
    """Stations farther apart than this (after time scaling) exchange no messages."""


@strict
@dataclass(frozen=True, slots=True)
class LabelOffset:
    """Median of (AIC onset - catalogue pick) on clear arrivals: positive where the picks are early."""

    n: Count
    median_s: Second | None
    quartiles_s: tuple[Second, Second] | None


@strict
@dataclass(frozen=True, slots=True)
class Provenance:
    """Counts and origins of what an adapter was trained on; never waveforms."""

    campaign: Line
    label_source: Literal["analyst", "automatic", "simulated", "unknown"]
    seed: Seed
    train_events: Count
    validation_events: Count
    test_events: Count
    train_windows: Count
    train_noise_windows: Count
    train_picks: _PhaseCount
    split: Line
    """How the split was made, in a sentence."""
    split_sha256: Annotated[dict[Word, DigestOrEmpty], MaxLen(8)]
    """Digest of the sorted event ids of each side."""
    stations: Annotated[list[Word], MaxLen(10_000)]
    pick_times_sha256: Annotated[list[Annotated[str, MaxLen(64)]], MaxLen(100_000)] = field(default_factory=list)
    """Digests of when the events that trained or chose were picked (`campaign.known_events`): who judges recognises
    them under other ids. None in adapters of before there were such digests, and in those that disclose no event."""


@strict
@dataclass(frozen=True, slots=True)
class Calibration:
    """How half widths of probability peaks became uncertainties of one phase, on events that did not train."""

    method: Literal["scale", "isotonic"]
    """Whichever had the smaller error on other events: `uncertainty_factor`, or a curve that never falls."""
    half_width_s: _Knots
    """Ascending knots of the curve, real seconds; none for a scale."""
    uncertainty_s: _Knots
    """One-sigma uncertainty (68 % of right picks lie within it) at these knots, real seconds; level beyond them."""
    factor_95: Annotated[float, Ge(1), Le(1e3)]
    """95 % of right picks lie within this many one-sigma uncertainties: 1.96 were errors normal."""
    picks: Count
    """Right picks that it was measured on; a pick of a record that was seen at two places counts twice."""
    events: Count

    def is_curve(self) -> bool:
        """Whether the knots are those of a curve that never falls, or of none for a scale."""
        x, y = self.half_width_s, self.uncertainty_s
        rising = all(a < b for a, b in itertools.pairwise(x)) and list(y) == sorted(y)
        return len(x) == len(y) and (self.method == "isotonic") == bool(x) and rising


@dataclass(frozen=True, slots=True)
class PickUncertainty:
    """What the half width of a pick's probability peak says of its error."""

    factor: Mapping[str, float]
    """Phase -> one-sigma uncertainty / half width, where no curve says more."""
    calibration: Mapping[str, Calibration] = field(default_factory=dict)

    def one_sigma_s(self, phase: str, half_width_s: float) -> float:
        """Uncertainty, real seconds, of a pick whose peak has this half width, real seconds."""
        found = self.calibration.get(phase)
        if found is None or not found.half_width_s:
            return self.factor[phase] * half_width_s
        x, y = found.half_width_s, found.uncertainty_s
        k = bisect.bisect_right(x, half_width_s)
        if k in (0, len(x)):
            return y[min(k, len(y) - 1)]
        return y[k - 1] + (y[k] - y[k - 1]) * (half_width_s - x[k - 1]) / (x[k] - x[k - 1])

    def factor_95(self, phase: str) -> float:
        """One-sigma uncertainties that 95 % of right picks lie within."""
        found = self.calibration.get(phase)
        return NORMAL_95 if found is None else found.factor_95


@strict
@dataclass(frozen=True, slots=True)
class Contract:
    """Everything an adapter must agree on with the data and the backbone it meets (DESIGN section 4)."""

    backbone_name: Word
    backbone_fingerprint: Digest
    preprocessing: Annotated[
        Preprocessing, Rule(lambda p: 2 * p.highpass_hz < p.network_rate_hz, "have its corner below half its rate")
    ]
    frame: Frame
    label_convention: LabelConvention
    label_offset: Annotated[dict[str, LabelOffset], Rule(lambda phases: set(phases) <= set(PHASES), "be of P and S")]
    thresholds: Thresholds
    """Probability above which a peak is a pick, per phase, chosen on validation."""
    min_distance_s: Annotated[float, Ge(0), Le(3600)]
    """Two picks of one phase on one station are at least this far apart, in the network's time."""
    uncertainty_factor: Annotated[dict[str, Annotated[float, Ge(0), Le(1e6)]], _PerPhase]
    """One-sigma pick uncertainty = factor * half width at half height of the probability peak, where
    `uncertainty_calibration` has no curve for the phase."""
    provenance: Provenance
    versions: Annotated[dict[Word, Word], MaxLen(100)]
    tensors_sha256: DigestOrEmpty = ""
    """Digest of the adapter's tensors: names, kinds, shapes, bytes; filled in when the adapter is written."""
    contract_version: int = CONTRACT_VERSION
    pick_shift_s: Annotated[dict[str, Second], _PerPhase] = field(default_factory=lambda: dict(NO_SHIFT_S))
    """Pick given out = pick of the network + this, real seconds: positive where the catalogue's picks lie later than
    the frozen network's. Labels are moved by minus this before the network is trained or scored on them. Adapters of
    before there was such a shift have none in their files: zero."""
    uncertainty_calibration: Annotated[
        dict[str, Annotated[Calibration, Rule(Calibration.is_curve, "have as many knots of both kinds, none falling")]],
        Rule(lambda phases: set(phases) <= set(PHASES), "be of P and S"),
    ] = field(default_factory=dict)
    """Phase -> how `uncertainty_factor` or a curve in its place was found, and the 95 % interval. Phases with too few
    right picks have none, nor have adapters of before there was a calibration."""

    @property
    def pick_uncertainty(self) -> PickUncertainty:
        """What the half width of a pick's probability peak says of its error."""
        return PickUncertainty(self.uncertainty_factor, self.uncertainty_calibration)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types only. Raises `AdapterError` for what `from_json` would refuse."""
        raw = dataclasses.asdict(self)
        if not any(self.pick_shift_s.values()):
            del raw["pick_shift_s"]  # as adapters of before there was one are written
        if not self.uncertainty_calibration:
            del raw["uncertainty_calibration"]
        if not self.provenance.pick_times_sha256:
            del raw["provenance"]["pick_times_sha256"]
        Contract.from_json(raw)
        return raw

    @classmethod
    def from_json(cls, raw: object) -> Contract:
        """Inverse of `to_json`. Raises `AdapterError` for an unknown version, and the first field that cannot be."""
        version = raw.get("contract_version") if isinstance(raw, dict) else None
        if version != CONTRACT_VERSION:
            raise AdapterError(
                f"adapter contract version is {version!r}, this phaseno-peft reads version {CONTRACT_VERSION}. "
                "Install the phaseno-peft version named on the adapter's card, or train the adapter again."
            )
        try:
            contract = checked(cls, raw)
            largest_s = LARGEST_PICK_SHIFT_S / contract.preprocessing.time_scale
            for phase, shift_s in contract.pick_shift_s.items():
                if abs(shift_s) > largest_s:
                    raise ValueError(
                        f"`pick_shift_s.{phase}` should be within {largest_s:g} s ({LARGEST_PICK_SHIFT_S:g} s of the "
                        f"network's time) but is {shift_s}"
                    )
            return contract
        except ValueError as error:
            raise AdapterError(
                f"adapter contract is damaged: {error}. Fetch the adapter again, or train it again."
            ) from error


@dataclass(frozen=True, slots=True)
class BackboneDefaults:
    """How the frozen backbone is used where no adapter is active: thresholds chosen on its own pre-training data."""

    thresholds: dict[str, float] = field(default_factory=lambda: {"P": 0.3, "S": 0.3})
    min_distance_s: float = 0.5
    uncertainty_factor: dict[str, float] = field(default_factory=lambda: {"P": 1.0, "S": 1.0})

    @property
    def pick_uncertainty(self) -> PickUncertainty:
        """As `Contract.pick_uncertainty`: half widths themselves, which nothing was measured against."""
        return PickUncertainty(self.uncertainty_factor)


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over sorted names, kinds, shapes and bytes."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        tensor = tensors[key].detach().cpu().contiguous()
        digest.update(f"{key} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
