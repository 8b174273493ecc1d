"""Weighted sums of stored adapters, as new adapters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from phaseno_peft.contract import PHASES, Contract, Provenance
from phaseno_peft.errors import AdapterError
from phaseno_peft.library.card import Card
from phaseno_peft.library.names import check_name
from phaseno_peft.library.resolve import library_folder
from phaseno_peft.library.store import StoredAdapter, read_adapter, refuse_existing, write_adapter


def blend_adapters(
    adapters: Sequence[str | Path], weights: Sequence[float] | None, name: str, *, overwrite: bool = False
) -> Path:
    """Write sum_i weights[i] * adapters[i] to the user's library as `name`; return its folder.

    See `phaseno_peft.cr_lora.blend` for what of the sum is exact; no `weights` are equal ones. The blend has no scores:
    thresholds are the weighted means of its parts' until it is evaluated. Raises `AdapterError` for parts of different
    backbones or preprocessing.
    """
    from phaseno_peft.cr_lora import blend

    weights = weights if weights is not None else [1 / len(adapters)] * len(adapters)
    folder = library_folder() / check_name(name)
    refuse_existing(folder, overwrite=overwrite)
    parts = [read_adapter(each) for each in adapters]
    settings, tensors = blend([(part.settings, part.tensors) for part in parts], weights)
    contract = _contract(parts, weights)
    recipe = " + ".join(f"{weight:g} x {part.name}" for part, weight in zip(parts, weights, strict=True))
    note = f"Not trained but blended: {recipe}. Not judged yet: run `phaseno-peft evaluate {name}` on labelled data."
    return write_adapter(
        folder, settings, contract, tensors, Card(name, settings, contract, {}, {}, [note]), {}, overwrite=overwrite
    )


def _contract(parts: Sequence[StoredAdapter], weights: Sequence[float]) -> Contract:
    first = parts[0].contract
    for part in parts[1:]:
        for what, mine, theirs in (
            ("backbone", first.backbone_fingerprint[:12], part.contract.backbone_fingerprint[:12]),
            ("preprocessing", first.preprocessing, part.contract.preprocessing),
        ):
            if mine != theirs:
                raise AdapterError(
                    f"adapters {parts[0].name!r} and {part.name!r} cannot be blended: their {what} differs ({mine} and "
                    f"{theirs})."
                )
    contracts, made = [part.contract for part in parts], [part.contract.provenance for part in parts]
    shares = [abs(weight) / (sum(map(abs, weights)) or 1.0) for weight in weights]

    def mean(values: Sequence[float]) -> float:
        return sum(share * value for share, value in zip(shares, values, strict=True))

    def common(values: Sequence[str]) -> str:
        return values[0] if len(set(values)) == 1 else "unknown"

    return replace(
        first,
        label_convention=common([c.label_convention for c in contracts]),  # type: ignore[arg-type]  # one of them
        label_offset={},
        thresholds={phase: mean([c.thresholds[phase] for c in contracts]) for phase in PHASES},
        min_distance_s=mean([c.min_distance_s for c in contracts]),
        uncertainty_factor={phase: mean([c.uncertainty_factor[phase] for c in contracts]) for phase in PHASES},
        uncertainty_calibration={},  # of none of the parts
        pick_shift_s={phase: mean([c.pick_shift_s[phase] for c in contracts]) for phase in PHASES},
        provenance=Provenance(
            campaign=" + ".join(p.campaign for p in made),
            label_source=common([p.label_source for p in made]),  # type: ignore[arg-type]  # one of them
            seed=made[0].seed,
            train_events=sum(p.train_events for p in made),
            validation_events=sum(p.validation_events for p in made),
            test_events=0,
            train_windows=sum(p.train_windows for p in made),
            train_noise_windows=sum(p.train_noise_windows for p in made),
            train_picks={phase: sum(p.train_picks.get(phase, 0) for p in made) for phase in PHASES},
            split="A blend of trained adapters: each had a split of its own.",
            split_sha256={},
            stations=sorted({station for p in made for station in p.stations}),
            pick_times_sha256=sorted({digest for p in made for digest in p.pick_times_sha256})
            if all(p.pick_times_sha256 for p in made)
            else [],
        ),
    )
