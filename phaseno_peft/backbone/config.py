"""Sizes of the network. The defaults are upstream's (sun-hongyu/PhaseNO, `phaseno_predict.ipynb`)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from phaseno_peft.errors import BackboneError


@dataclass(frozen=True, slots=True)
class PhaseNOConfig:
    """Architecture of a PhaseNO. Raises `BackboneError` where the sizes do not fit together."""

    width: int = 48
    """Channels of the finest level; the coarser ones have twice and four times as many."""
    modes: int = 24
    """Fourier modes kept at the finest level; half and a third of them at the coarser ones."""
    window_samples: int = 3000
    padding_samples: int = 50
    """Reflected samples on each side of the window."""
    middle_samples: int = 750
    coarse_samples: int = 200

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or value < (0 if field.name == "padding_samples" else 1):
                raise BackboneError(f"backbone config: `{field.name}` should be a positive integer but is {value!r}.")
        for length, modes in (
            (self.padded_samples, self.modes),
            (self.middle_samples, self.modes // 2),
            (self.coarse_samples, self.modes // 3),
        ):
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
    def padded_samples(self) -> int:
        """Samples of the finest level: the window and its reflected margins."""
        return self.window_samples + 2 * self.padding_samples

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types only."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> PhaseNOConfig:
        """Inverse of `to_json`; unknown keys are refused with `BackboneError`."""
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(raw) - known):
            raise BackboneError(f"backbone config: unknown key {unknown[0]!r}. Known keys: {', '.join(sorted(known))}.")
        return cls(**raw)
