"""Sizes of the network. The defaults are upstream's (sun-hongyu/PhaseNO, `phaseno_predict.ipynb`)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from phaseno_peft.contract import WINDOW_SAMPLES
from phaseno_peft.errors import BackboneError

_LARGEST_SIZE = 100_000
"""Of any number here: a window of 1,000 s at 100 Hz. More is a damaged file."""


@dataclass(frozen=True, slots=True)
class StemConfig:
    """Sizes of a stem (`phaseno_peft.backbone.stem`); the defaults are PhaseNet's. Raises `BackboneError`."""

    channels: int = 8
    """At the full rate; every level down has twice as many."""
    levels: int = 5
    """The full rate and `levels` - 1 coarser ones."""
    kernel_samples: int = 7
    """Samples of every convolution, of its level."""
    stride: int = 4
    """Samples of a level that become one of the next."""
    reach_samples: int = 0
    """How far the output's heights may be moved to the times the stem hears (`stem.focused`). 0: they are not."""

    def __post_init__(self) -> None:
        _check_positive(self, "backbone config: stem", may_be_zero=("reach_samples",))
        if self.levels < 2 or self.kernel_samples % 2 == 0 or self.kernel_samples < self.stride:
            raise BackboneError(
                f"backbone config: stem: `levels` {self.levels} should be at least 2, `kernel_samples` "
                f"{self.kernel_samples} odd and at least `stride` {self.stride}."
            )


@dataclass(frozen=True, slots=True)
class PhaseNOConfig:
    """Architecture of a PhaseNO. Raises `BackboneError` where the sizes do not fit together."""

    width: int = 48
    """Channels of the finest level; the coarser ones have twice and four times as many."""
    modes: int = 24
    """Fourier modes kept at the finest level; half and a third of them at the coarser ones."""
    window_samples: int = WINDOW_SAMPLES
    padding_samples: int = 50
    """Reflected samples on each side of the window."""
    middle_samples: int = 750
    coarse_samples: int = 200
    stem: StemConfig | None = None
    """None: upstream's network. Else a stem listens to every station first."""

    def __post_init__(self) -> None:
        _check_positive(self, "backbone config", may_be_zero=("padding_samples",))
        if not (self.stem is None or isinstance(self.stem, StemConfig)):
            raise BackboneError(f"backbone config: `stem` should be a table of sizes but is {self.stem!r}.")
        lengths = (self.padded_samples, self.middle_samples, self.coarse_samples)
        for length, modes in zip(lengths, self.modes_by_level, strict=True):
            if not 1 <= modes <= length // 2:
                raise BackboneError(
                    f"backbone config: {modes} Fourier modes do not fit a level of {length} samples. Change `modes` "
                    "(divided by 1, 2 and 3 on the three levels) or the level's length."
                )
        if self.padding_samples >= self.window_samples:
            raise BackboneError(
                f"backbone config: `padding_samples` {self.padding_samples} should be below `window_samples` "
                f"{self.window_samples}."
            )

    @property
    def modes_by_level(self) -> tuple[int, int, int]:
        """Fourier modes of the finest, the middle and the coarse level."""
        return self.modes, self.modes // 2, self.modes // 3

    @property
    def padded_samples(self) -> int:
        """Samples of the finest level: the window and its reflected margins."""
        return self.window_samples + 2 * self.padding_samples

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types only; without a stem nothing is said of one, as before there were any."""
        raw = dataclasses.asdict(self)
        return raw if self.stem is not None else {key: value for key, value in raw.items() if key != "stem"}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> PhaseNOConfig:
        """Inverse of `to_json`; unknown keys are refused with `BackboneError`."""
        stem = raw.get("stem")
        if isinstance(stem, dict):
            raw = {**raw, "stem": StemConfig(**_known(StemConfig, stem, "backbone config: stem"))}
        return cls(**_known(cls, raw, "backbone config"))


def _known(kind: type[PhaseNOConfig | StemConfig], raw: dict[str, Any], where: str) -> dict[str, Any]:
    known = {field.name for field in dataclasses.fields(kind)}
    if unknown := sorted(set(raw) - known):
        raise BackboneError(f"{where}: unknown key {unknown[0]!r}. Known keys: {', '.join(sorted(known))}.")
    return raw


def _check_positive(config: PhaseNOConfig | StemConfig, where: str, may_be_zero: tuple[str, ...] = ()) -> None:
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name == "stem":
            continue
        least = 0 if field.name in may_be_zero else 1
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= _LARGEST_SIZE:
            raise BackboneError(
                f"{where}: `{field.name}` should be a positive integer up to {_LARGEST_SIZE} but is {value!r}."
            )
