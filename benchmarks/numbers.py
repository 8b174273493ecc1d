"""The numbers that README and pages tell of the shipped adapters: one file, and the tables made of it.

    python -m benchmarks.numbers                                   # after adapters were trained, without recordings
    python -m benchmarks.numbers --recordings FOLDER --phasenet-weights FILE

Collects `docs/numbers.json` from the adapters' own evaluation.json and contracts, and writes what stands between
`<!-- numbers: NAME -->` and `<!-- end -->` in README.md and docs/ anew. With recordings (FOLDER/<name>/waveforms,
stations.xml, picks.xml) the original PhaseNet, as it comes and fine-tuned on the same labels, is scored on the same
folds of events (`phaseno-peft compare --folds`); without them what was measured on the same events is kept, and the
rest left out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from phaseno_peft import adapter_info
from phaseno_peft.campaign import Campaign
from phaseno_peft.comparison import compare
from phaseno_peft.contract import PHASES
from phaseno_peft.evaluation import read_evaluation
from phaseno_peft.evaluation.scores import Scores
from phaseno_peft.files import write_file
from phaseno_peft.text_tables import TextTable

ROOT = Path(__file__).resolve().parents[1]
NUMBERS = ROOT / "docs" / "numbers.json"
ADAPTERS = ("samba-nz", "iceland-vt", "ohio-frac", "bc-frac", "us-industrial")
"""In the order of the tables."""
RECORDED = ("samba-nz", "iceland-vt")
ADAPTER, FROZEN, SHIFTED = "adapter", "frozen", "frozen, offset removed"
PHASENET, FINE_TUNED = "PhaseNet, offset removed", "PhaseNet fine-tuned"
RIVALS = (PHASENET, FINE_TUNED)
COMPARISONS = ("iceland-vt", "ohio-frac-few-shot", "samba-nz-100-epochs")
"""Folders of `benchmarks/recipes` whose tables stand on the pages."""
_REGION = re.compile(r"(<!-- numbers: ([a-z0-9-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
Numbers = dict[str, Any]


def collect(before: Numbers, root: Path = ROOT) -> Numbers:
    """The numbers of the adapters in `root`, with what `before` still holds of rivals."""
    adapters = {}
    for name in ADAPTERS:
        folder = root / "adapters" / name
        made, evaluation = adapter_info(folder).contract.provenance, read_evaluation(folder / "evaluation.json")
        first = evaluation.scores[ADAPTER]
        weights = (folder / "adapter_model.safetensors").read_bytes()
        adapters[name] = {
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
            "weights_kb": round(len(weights) / 1000),
            "trainable_parameters": evaluation.about["n_trainable"],
            "labels_of": made.label_source,
            "events": {
                "training": made.train_events,
                "validation": made.validation_events,
                "test": made.test_events,
            },
            "split_sha256": made.split_sha256,
            "windows": first.n_windows,
            "noise_windows": first.n_noise_windows,
            "labels": {phase: first.n_labels(phase) for phase in PHASES},
            "scores": {model: numbers_of(found) for model, found in evaluation.scores.items()},
        }
        old = before.get("adapters", {}).get(name, {})
        if all(old.get(key) == adapters[name][key] for key in ("split_sha256", "windows", "labels")):
            adapters[name]["scores"] |= {rival: old["scores"][rival] for rival in RIVALS if rival in old["scores"]}
        if verdict := evaluation.about.get("verdict"):
            adapters[name]["verdict"] = {key: verdict[key] for key in ("verdict", "reason", "also")}
    return {"made_by": "python -m benchmarks.numbers", "adapters": adapters}


def measure(numbers: Numbers, recordings: Path, phasenet_weights: Path, out: Path) -> None:
    """Score PhaseNet on the folds of the adapters of recordings; runs are kept in `out`."""
    for name in RECORDED:
        place = recordings / name
        campaign = Campaign.read(place / "waveforms", place / "stations.xml", place / "picks.xml", name=name)
        folds = read_evaluation(ROOT / "adapters" / name / "evaluation.json").about["folds"]["folds"]
        recipes = ("rival:phasenet", "rival:phasenet-finetuned")
        made = compare(name, campaign, recipes, folder=out / name, folds=folds, phasenet_weights=phasenet_weights)
        as_it_comes, fine_tuned = made.runs
        scores = numbers["adapters"][name]["scores"]
        scores[PHASENET], scores[FINE_TUNED] = numbers_of(as_it_comes.without_offset), numbers_of(fine_tuned.test)


def numbers_of(scores: Scores) -> dict[str, dict[str, dict[str, Any]]]:
    """Phase -> tolerance -> the numbers that the tables show, ratios, and times in milliseconds."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for phase in PHASES:
        for tolerance_s in scores.tolerances_s:
            own = scores.phase(phase, tolerance_s).summary()
            ratios = {key: _rounded(own[key], 6) for key in ("precision", "recall", "f1")}
            found.setdefault(phase, {})[f"{tolerance_s:g}"] = {
                **ratios,
                "f1_95": [_rounded(each, 6) for each in own["f1_95"]],
                "median_ms": _rounded(own["residual_median_s"], 1, 1000),
                "mad_ms": _rounded(own["residual_mad_s"], 1, 1000),
            }
    return found


def _rounded(value: float | None, digits: int, factor: float = 1) -> float | None:
    return None if value is None else round(factor * value, digits)


def short_table(numbers: Numbers) -> str:
    """F1 of the adapters of recordings: what README shows."""
    rows = []
    for name in RECORDED:
        own = numbers["adapters"][name]
        for phase in PHASES:
            for tolerance in ("0.5", "0.1"):
                cells = {model: found[phase][tolerance] for model, found in own["scores"].items()}
                low, high = cells[ADAPTER]["f1_95"]
                rows.append(
                    [
                        f"`{name}`, {_events(own)}",
                        f"{phase}, {tolerance} s",
                        *(_ratio(cells[model]["f1"]) if model in cells else "" for model in (FROZEN, SHIFTED)),
                        f"**{cells[ADAPTER]['f1']:.3f}** [{low:.3f}, {high:.3f}]",
                        *(_ratio(cells[rival]["f1"]) if rival in cells else "" for rival in RIVALS),
                    ]
                )
                if len(rows) % 4 != 1:
                    rows[-1][0] = ""
    columns = ("adapter", "phase, within", FROZEN, SHIFTED, "adapter [95 %]", *RIVALS)
    return TextTable(columns, rows, n_left=2).markdown()


def full_tables(numbers: Numbers) -> str:
    """For each adapter a heading, what it was judged on, its verdict and a table of every model."""
    return "\n".join(_section(name, own) for name, own in numbers["adapters"].items())


def _section(name: str, own: Mapping[str, Any]) -> str:
    events, labels = own["events"], own["labels"]
    lines = [
        f"### {name}\n",
        f"Labels: {own['labels_of']}. {events['training']} training events, {events['validation']} for validation, "
        f"{_events(own)}: {own['windows']} windows, {own['noise_windows']} of them noise, with {labels['P']} P and "
        f"{labels['S']} S labels.\n",
    ]
    if "verdict" in own:
        lines.append(
            f"Verdict of `phaseno-peft evaluate`: **{own['verdict']['verdict']}**, {own['verdict']['reason']}\n"
        )
    rows = []
    for phase in PHASES:
        for tolerance in ("0.5", "0.1"):
            for number, (model, found) in enumerate(own["scores"].items()):
                cells = found[phase][tolerance]
                low, high = cells["f1_95"]
                rows.append(
                    [
                        f"{phase}, {tolerance} s" if number == 0 else "",
                        f"**{model}**" if model == ADAPTER else model,
                        *(_ratio(cells[key]) for key in ("precision", "recall")),
                        f"{cells['f1']:.3f} [{low:.3f}, {high:.3f}]",
                        _milliseconds(cells["median_ms"], "+"),
                        _milliseconds(cells["mad_ms"]),
                    ]
                )
    columns = ("phase, within", "model", "precision", "recall", "F1 [95 %]", "median ms", "MAD ms")
    return "\n".join([*lines, TextTable(columns, rows, n_left=2).markdown()])


def verdicts(numbers: Numbers) -> str:
    """A line for each adapter of recordings whose verdict is known."""
    lines = []
    for name in RECORDED:
        own = numbers["adapters"][name]
        if "verdict" in own:
            lines.append(f"- `{name}`: **{own['verdict']['verdict']}**: {own['verdict']['reason']}")
    return "\n".join([*lines, ""]) if lines else ""


def residuals(numbers: Numbers) -> str:
    """Median residual within 0.5 s before and after adapting."""
    rows = []
    for name, own in numbers["adapters"].items():
        for phase in PHASES:
            medians = [own["scores"].get(m, {}).get(phase, {}).get("0.5", {}) for m in (FROZEN, SHIFTED, ADAPTER)]
            rows.append([f"`{name}`", phase, *(_milliseconds(m.get("median_ms"), "+") for m in medians)])
    return TextTable(("adapter", "phase", "frozen", "frozen, offset removed", "adapter"), rows, n_left=2).markdown()


def comparison(folder: str) -> Callable[[Numbers], str]:
    """The table that `phaseno-peft compare` wrote into a folder of `benchmarks/recipes`."""

    def table(_: Numbers) -> str:
        text = (ROOT / "benchmarks" / "recipes" / folder / "comparison.md").read_text(encoding="utf-8")
        return "\n".join(line for line in text.splitlines() if line.startswith("|")) + "\n"

    return table


REGIONS: dict[str, Callable[[Numbers], str]] = {
    "short": short_table,
    "full": full_tables,
    "verdicts": verdicts,
    "residuals": residuals,
    **{f"recipes-{folder}": comparison(folder) for folder in COMPARISONS},
}


def pages() -> list[Path]:
    """README and every page that may hold a region."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def filled(text: str, numbers: Numbers) -> str:
    """A page with its regions written anew."""
    return _REGION.sub(lambda found: f"{found[1]}\n{REGIONS[found[2]](numbers)}\n{found[3]}", text)


def as_json(numbers: Numbers) -> str:
    """How `docs/numbers.json` is written."""
    return json.dumps(numbers, indent=1, ensure_ascii=False) + "\n"


def _events(own: Mapping[str, Any]) -> str:
    """On how many events an adapter was judged."""
    events = own["events"]
    return f"{events['test']} test events" if events["test"] else f"{events['training']} events, out of fold"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _milliseconds(value: float | None, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.0f}"


def main() -> None:
    """Collect, measure where there are recordings, write file and pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, help="folder with samba-nz/ and iceland-vt/")
    parser.add_argument("--phasenet-weights", type=Path, help="the original PhaseNet's weights as safetensors")
    parser.add_argument("--out", type=Path, default=Path("numbers-runs"), help="where trainings of rivals are kept")
    asked = parser.parse_args()
    if (asked.recordings is None) != (asked.phasenet_weights is None):
        sys.exit("error: --recordings and --phasenet-weights go together.")
    numbers = collect(json.loads(NUMBERS.read_text(encoding="utf-8")) if NUMBERS.is_file() else {})
    if asked.recordings is not None:
        measure(numbers, asked.recordings, asked.phasenet_weights, asked.out)
    for name in RECORDED:
        missing = [] if "verdict" in numbers["adapters"][name] else ["verdict"]
        missing += [rival for rival in RIVALS if rival not in numbers["adapters"][name]["scores"]]
        if missing:
            print(f"{name}: left out, for want of recordings: {', '.join(missing)}", file=sys.stderr)
    write_file(NUMBERS, as_json(numbers))
    for page in pages():
        text = page.read_text(encoding="utf-8")
        if (new := filled(text, numbers)) != text:
            write_file(page, new)
            print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
