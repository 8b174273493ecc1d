"""The card of an adapter: `README.md` with the Hub's metadata, generated from contract and evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping

from phaseno_peft.contract import PHASES, Contract
from phaseno_peft.cr_lora import CRLoraSettings

_SOURCES = {
    "analyst": "manual picks of an analyst",
    "automatic": "picks of an automatic method, not checked by an analyst",
    "simulated": "simulated records with simulated picks: no real earthquake was involved",
    "unknown": "picks whose origin was not stated",
}


def write_card(
    name: str,
    settings: CRLoraSettings,
    contract: Contract,
    tables: Mapping[str, str],
    figures: Mapping[str, str],
    notes: list[str],
) -> str:
    """The card's Markdown. tables: heading -> table. figures: caption -> file name. notes: one sentence each."""
    made = contract.provenance
    front = {
        "library_name": "phaseno-peft",
        "base_model": contract.backbone_name,
        "tags": ["phaseno", "seismology", "phase-picking", "microseismic", "cr-lora", "peft"],
    }
    offsets = [
        f"- {phase}: {offset.median_s:+.3f} s (n = {offset.n}, quartiles {offset.quartiles_s[0]:+.3f} to "
        f"{offset.quartiles_s[1]:+.3f} s)"
        for phase, offset in contract.label_offset.items()
        if offset.median_s is not None and offset.quartiles_s is not None
    ] or ["- not measurable: too few clear arrivals"]
    k = contract.preprocessing.time_scale
    lines = [
        "---",
        *(f"{key}: {json.dumps(value)}" for key, value in front.items()),
        "---",
        "",
        f"# {name}",
        "",
        f"A CR-LoRA adapter for the phase picker PhaseNO (backbone `{contract.backbone_name}`), trained on the "
        f"campaign `{made.campaign}`.",
        "",
        "```python",
        "from phaseno_peft import load_adapter",
        "",
        f'picker = load_adapter("{name}")',
        "picks = picker.classify(stream, stations)",
        "```",
        "",
        "## Training data",
        "",
        f"- Labels: {_SOURCES[made.label_source]}.",
        f"- {made.train_events} events for training, {made.validation_events} for validation, {made.test_events} for "
        f"testing. {made.split}",
        f"- {made.train_windows} windows an epoch, {made.train_noise_windows} of them noise; "
        + ", ".join(f"{made.train_picks.get(phase, 0)} {phase}" for phase in PHASES)
        + " picks in the training events.",
        f"- {len(made.stations)} stations: {', '.join(made.stations)}. Seed {made.seed}.",
        "",
        "Offset of the catalogue's picks, as AIC onset minus pick on clear arrivals (positive: picks are early); the "
        f"adapter learns the catalogue's convention, here `{contract.label_convention}`:",
        "",
        *offsets,
        "",
        *(line for heading, table in tables.items() for line in (f"## {heading}", "", table, "")),
        *(line for caption, file in figures.items() for line in (f"![{caption}]({file})", "", f"*{caption}*", "")),
        "## Contract",
        "",
        "| field | value |",
        "|---|---|",
        f"| backbone | `{contract.backbone_name}`, fingerprint `{contract.backbone_fingerprint[:16]}` |",
        f"| preprocessing | `{contract.preprocessing.id}`: {contract.preprocessing.rate_hz:g} Hz, high-pass "
        f"{contract.preprocessing.highpass_hz * k:g} Hz, windows of {contract.preprocessing.window_s:g} s, components "
        f"{contract.preprocessing.component_order} |",
        f"| time scale | {k:g} |",
        f"| centre | {contract.frame.center_latitude_deg:.4f} N, {contract.frame.center_longitude_deg:.4f} E; edges up "
        f"to {contract.frame.edge_limit_km:g} km |",
        "| thresholds | " + ", ".join(f"{phase} {value:.2f}" for phase, value in contract.thresholds.items()) + " |",
        f"| method | CR-LoRA r = {settings.r}, alpha = {settings.lora_alpha:g}, reduction {settings.se_reduction}, "
        f"head {'trained' if settings.train_head else 'frozen'} |",
        "| versions | " + ", ".join(f"{key} {value}" for key, value in contract.versions.items()) + " |",
        "",
        "## Limits",
        "",
        *(f"- {note}" for note in notes),
        "- Trained for one network and its noise. On another campaign measure first, with `phaseno-peft evaluate`.",
        "- A process that reads this adapter with `peft` alone needs `import phaseno_peft.cr_lora.model` first.",
        "",
        "## How to cite",
        "",
        "The method: Abdullin, Waheed, Eisner, Iqbal, arXiv 2512.13197. The network: Sun et al. 2023 (PhaseNO).",
        "",
    ]
    return "\n".join(lines)
