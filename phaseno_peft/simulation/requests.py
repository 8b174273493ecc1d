"""What a caller asks of a simulated campaign beyond its preset: checked here, before anything is made."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np

from phaseno_peft.contract import LabelConvention
from phaseno_peft.errors import CampaignError
from phaseno_peft.simulation.analyst import SIMULATED_CONVENTIONS
from phaseno_peft.simulation.presets import Preset


def with_convention(preset: Preset, convention: str | None) -> Preset:
    """The preset with an analyst who picks at ``convention``; None leaves it. Raises `CampaignError`."""
    if convention is None:
        return preset
    if convention not in SIMULATED_CONVENTIONS or convention not in get_args(LabelConvention):
        raise CampaignError(
            f"label_convention is {convention!r}; the simulator knows {', '.join(SIMULATED_CONVENTIONS)}."
        )
    return replace(preset, analyst=replace(preset.analyst, convention=convention))  # type: ignore[arg-type] # checked


def with_sensor_errors(preset: Preset, seed: int, orientation_error_deg: float | None, reverse: int | None) -> Preset:
    """The preset with this scatter of orientations and so many stations upside down; None leaves it."""
    if orientation_error_deg is not None:
        if not 0 <= orientation_error_deg <= 180:
            raise CampaignError(f"orientation_error_deg is {orientation_error_deg:g}; give 0 to 180, or None.")
        preset = replace(preset, orientation_error_deg=orientation_error_deg)
    if reverse is not None:
        codes = preset.station_code
        if not 0 <= reverse <= len(codes):
            raise CampaignError(
                f"reversed_verticals is {reverse}; {preset.name} has {len(codes)} stations; give 0 to that."
            )
        order = np.random.default_rng([seed, len(codes)]).permutation(len(codes))
        preset = replace(preset, reversed_vertical=tuple(codes[k] for k in order[:reverse]))
    return preset


def check_counts(events: int, continuous_minutes: float, continuous_events: int, false_triggers: int | None) -> None:
    """Raise `CampaignError` for counts that make no campaign."""
    if events < 1:
        raise CampaignError(f"events is {events}; a campaign needs at least 1.")
    if false_triggers is not None and false_triggers < 0:
        raise CampaignError(f"false_triggers is {false_triggers}; give 0 or more, or None for the preset's share.")
    if not 0 <= continuous_minutes <= 240:
        raise CampaignError(f"continuous_minutes is {continuous_minutes:g}; give 0 (none) to 240.")
    if continuous_minutes and (continuous_events < 0 or continuous_minutes * 60 < 20 * (continuous_events + 2)):
        raise CampaignError(
            f"continuous_events is {continuous_events} in {continuous_minutes:g} minutes; "
            "give 0 or more, and at least 20 s for each and 40 s besides."
        )
