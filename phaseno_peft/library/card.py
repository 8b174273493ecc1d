"""The card of an adapter, `README.md`: prose from `cards/TEMPLATE.md`, and metadata that the Hub reads.

A card is generated, never written by hand: what only training knows (tables, figures, sentences) is kept beside it in
`card.json`, the rest comes from the contract and `evaluation.json`, so that the same folder gives the same card.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING, Any

from phaseno_peft.contract import PHASES, Contract
from phaseno_peft.hub.card_metadata import CardScore, metadata_block
from phaseno_peft.paths import shipped_folder
from phaseno_peft.schema import Line, Text, Word, strict

if TYPE_CHECKING:
    from phaseno_peft.cr_lora import CRLoraSettings

TAG = "phaseno-peft"
"""Tag that every card carries: how adapters are found on the Hub."""
TAGS = (TAG, "phaseno", "seismology", "phase-picking", "microseismic", "cr-lora", "peft")
_SOURCES = {
    "analyst": "manual picks of an analyst",
    "automatic": "picks of an automatic method, not checked by an analyst",
    "simulated": "simulated records with simulated picks: no real earthquake was involved",
    "unknown": "picks whose origin was not stated",
}
_STEM = {
    "none": "",
    "lora": ", stem adapted (low-rank updates of all its convolutions)",
    "last": ", stem adapted (its last convolution and output)",
    "full": ", stem adapted (all its convolutions)",
}
VERDICT, UNCERTAINTY = "Verdict", "Uncertainty of the picks"
"""Tables of a card that hold what `judging.card_tables` makes of an evaluation; the verdict stands at the top."""
_METRICS = {"f1": "F1", "precision": "precision", "recall": "recall"}


@strict
@dataclass(frozen=True)
class CardSource:
    """Content of `card.json`: what is found nowhere else in the folder."""

    tables: dict[Word, Text]
    figures: dict[Line, Word]
    notes: list[Text]


@dataclass(frozen=True)
class Card:
    """What a card says beside the contract."""

    name: str
    settings: CRLoraSettings
    contract: Contract
    tables: Mapping[str, str]
    """Heading -> table in Markdown."""
    figures: Mapping[str, str]
    """Caption -> file name within the adapter's folder."""
    notes: Sequence[str]
    """What the adapter cannot do and how sure its scores are, one sentence each."""

    def to_json(self) -> dict[str, Any]:
        """Content of `card.json`: what is found nowhere else in the folder."""
        return {"tables": dict(self.tables), "figures": dict(self.figures), "notes": list(self.notes)}

    def prose(self, figures_in: str = "") -> str:
        """The card without its metadata. figures_in: path from the card to the adapter's folder, with a slash."""
        template = (shipped_folder("cards") / "TEMPLATE.md").read_text(encoding="utf-8")
        figures = (f"![{caption}]({figures_in}{file})\n\n*{caption}*\n\n" for caption, file in self.figures.items())
        verdict = self.tables.get(VERDICT)
        return Template(template).substitute(
            _facts(self.settings, self.contract),
            name=self.name,
            verdict=f"{verdict}\n\n" if verdict else "",
            tables="".join(
                f"## {heading}\n\n{table}\n\n" for heading, table in self.tables.items() if heading != VERDICT
            ),
            figures="".join(figures),
            limits="\n".join(f"- {note}" for note in self.notes)
            or "- Not evaluated: nothing is known of its accuracy.",
        )


def _facts(settings: CRLoraSettings, contract: Contract) -> dict[str, object]:
    """What the template says of an adapter's contract."""
    made, preprocessing, frame = contract.provenance, contract.preprocessing, contract.frame
    offsets = [
        f"- {phase}: {offset.median_s:+.3f} s (n = {offset.n}, quartiles {offset.quartiles_s[0]:+.3f} to "
        f"{offset.quartiles_s[1]:+.3f} s)"
        for phase, offset in contract.label_offset.items()
        if offset.median_s is not None and offset.quartiles_s is not None
    ] or ["- not measurable: too few clear arrivals"]
    return {
        "backbone": contract.backbone_name,
        "campaign": made.campaign,
        "labels": _SOURCES[made.label_source],
        "train_events": made.train_events,
        "validation_events": made.validation_events,
        "test_events": made.test_events,
        "split": made.split,
        "train_windows": made.train_windows,
        "noise_windows": made.train_noise_windows,
        "train_picks": ", ".join(f"{made.train_picks.get(phase, 0)} {phase}" for phase in PHASES),
        "stations": f"{len(made.stations)} stations: {', '.join(made.stations)}."
        if made.stations
        else "Stations: not named here.",
        "seed": made.seed,
        "convention": contract.label_convention,
        "offsets": "\n".join(offsets),
        "fingerprint": contract.backbone_fingerprint[:16],
        "preprocessing": preprocessing.id,
        "rate_hz": f"{preprocessing.rate_hz:g}",
        "highpass_hz": f"{preprocessing.highpass_hz * preprocessing.time_scale:g}",
        "window_s": f"{preprocessing.window_s:g}",
        "components": preprocessing.component_order,
        "time_scale": f"{preprocessing.time_scale:g}",
        "center": f"{frame.center_latitude_deg:.4f} N, {frame.center_longitude_deg:.4f} E",
        "edge_limit_km": f"{frame.edge_limit_km:g}",
        "thresholds": ", ".join(f"{phase} {value:.2f}" for phase, value in contract.thresholds.items()),
        "pick_shift": _pick_shift(contract),
        "uncertainty": how_calibrated(contract),
        "method": f"CR-LoRA r = {settings.r}, alpha = {settings.lora_alpha:g}, reduction {settings.se_reduction}, "
        f"head {'trained' if settings.train_head else 'frozen'}{_STEM[settings.stem]}",
        "versions": ", ".join(f"{key} {value}" for key, value in contract.versions.items()),
    }


def _pick_shift(contract: Contract) -> str:
    """The row of the contract's table; none where picks are given out as the network makes them."""
    if not any(contract.pick_shift_s.values()):
        return ""
    shifts = ", ".join(f"{phase} {contract.pick_shift_s[phase]:+.3f} s" for phase in PHASES)
    return f"| constant shift of the picks | {shifts} (pick given out minus pick of the network) |\n"


def contract_rows(contract: Contract) -> list[dict[str, Any]]:
    """Return a contract as a table, a row per field, numbers to ten digits; names of fields within fields are joined by
    dots."""
    return [{"field": name, "value": value} for name, value in _flat(contract.to_json())]


def _flat(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flat(inner, f"{before}{name}.")
        elif name == "pick_times_sha256":
            yield f"{before}{name}", f"{len(inner)} digests"
        elif isinstance(inner, list | tuple):
            yield f"{before}{name}", ", ".join(str(_short(each)) for each in inner)
        else:
            yield f"{before}{name}", _short(inner)


def _short(value: Any) -> Any:
    """A number without the last digits of binary fractions: 0.085 for 0.0849999999999909."""
    return float(f"{value:.10g}") if isinstance(value, float) else value


def how_calibrated(contract: Contract) -> str:
    """What an adapter's stated intervals rest on, in a sentence a phase."""
    said = []
    for phase in PHASES:
        found, factor = contract.uncertainty_calibration.get(phase), contract.uncertainty_factor[phase]
        if found is None:
            said.append(
                f"{phase}: ±{factor:.2f} half widths of the probability peak for 68 %, 1.96 times that for 95 %, as of "
                f"normal errors{'; not calibrated' if factor == 1 else ''}."
            )
            continue
        form = f"±{factor:.2f} half widths of the probability peak"
        if found.method == "isotonic":
            low_ms, high_ms = (1000 * found.uncertainty_s[k] for k in (0, -1))
            form = (
                f"±{low_ms:.0f} to {high_ms:.0f} ms, rising with the half width of the probability peak,"
                if low_ms < high_ms
                else f"±{low_ms:.0f} ms, whatever the half width of the probability peak,"
            )
        said.append(
            f"{phase}: {form} for 68 %, {found.factor_95:.1f} times that for 95 %, from {found.picks} right picks of "
            f"{found.events} events that did not train, each at two places in its window."
        )
    return " ".join(said)


def metadata(name: str, contract: Contract, evaluation: Mapping[str, Any] | None) -> str:
    """The YAML block that opens a card on the Hub: library, base model, tags, campaign, the scores as its model-index.

    evaluation: the content of `evaluation.json`, None for an adapter that was never judged.
    """
    campaign = contract.provenance.campaign
    return metadata_block(
        name,
        library="phaseno-peft",
        base_model=contract.backbone_name,
        tags=TAGS,
        dataset=campaign,
        evaluated_on=f"{campaign}, held-out events, {contract.provenance.label_source} picks",
        scores=[
            CardScore(key, f"{phase} {words} within {tolerance} s", float(found[key]))
            for phase, by_tolerance in _summary(evaluation).items()
            for tolerance, found in by_tolerance.items()
            for key, words in _METRICS.items()
            if isinstance(found.get(key), float | int) and found[key] == found[key]  # not NaN
        ],
    )


def with_metadata(card: str, block: str, load_as: str) -> str:
    """A card under another metadata block, its example loading the adapter as `load_as`."""
    prose = re.sub(r"\A---\n.*?\n---\n+", "", card, flags=re.S)
    return block + re.sub(r'load_adapter\("[^"]*"\)', f'load_adapter("{load_as}")', prose)


def _summary(evaluation: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """phase -> tolerance -> numbers, of the adapter."""
    try:
        found = evaluation["scores"]["adapter"]["summary"] if evaluation else {}
    except (KeyError, TypeError):
        return {}
    return found if isinstance(found, Mapping) else {}
