"""How much of a campaign an adapter's folder discloses, and what a push would show to whom.

What leaves is taken from a list of what may: numbers, and words of our own. What the list does not name stays here.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from phaseno_peft.contract import PHASES, Contract
from phaseno_peft.errors import AdapterError
from phaseno_peft.files import write_file
from phaseno_peft.files.manifest import MANIFEST, altered_files, write_manifest
from phaseno_peft.library.card import UNCERTAINTY, VERDICT, Card, metadata, with_metadata
from phaseno_peft.library.folds import why_no_folds
from phaseno_peft.library.names import CARD, CARD_SOURCE, EVALUATION, FOLDS, is_of_folds
from phaseno_peft.library.resolve import Located
from phaseno_peft.library.store import (
    copy_listed,
    listed_files,
    read_contract,
    read_evaluation_json,
    read_json,
    read_located,
    write_adapter,
)
from phaseno_peft.library.training_notes import HEADINGS, SIDES, notes_on_training

Share = Literal["minimal", "scores", "all"]
"""minimal: what picks, and counts. scores: also how well, in numbers and figures without waveforms. all: the folder."""
CENTRE_STEP_DEG = 0.5
"""Centres are rounded to this. On two minutes of a simulated campaign a centre 0.25 degrees off on both axes moved none
of 19 picks of ohio-frac by more than 3 ms, no probability by more than 0.01, and let one weak pick in."""
SCORE_FIGURES = {
    "figures/scores.png": "Scores on the held-out windows",
    "figures/residuals.png": "Residuals on the held-out windows",
    "figures/tolerance.png": "F1 against tolerance on the held-out windows",
    "figures/training.png": "Training",
}
"""Figures without waveforms, times and names -> caption."""
SECTION = "figures/record_section.png"
_SHARED_TABLES = (VERDICT, *HEADINGS, UNCERTAINTY, "What was forgotten")
_TRAINING_KEYS = (
    "seed",
    "labelled_events",
    "quick",
    "epoch_kept",
    "history",
    "training",
    "seeds",
    "pick_shift",
    "n_trainable",
    "forgetting",
    "folds",
    "unlabelled",
)
_SHARED_SCORES = ("frozen", "frozen, offset removed", "adapter")
_SHARED_WORDS = ("P", "S", "cosine", "plateau")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}|\d\.\d{1,3}")
"""Names of our fields, and tolerances in seconds."""
_SHARED_VERSIONS = ("phaseno-peft", "peft")
_NOT_DISCLOSED = (
    "Which events, which stations and where exactly is not told here: the centre is rounded to 0.5 degrees, and "
    "`phaseno-peft evaluate` cannot tell the events it was trained on from others."
)
_NO_SCORES = "Its scores are not shared: measure it on labelled records of your own."
_TIME = re.compile(r"\b(?:19|20)\d\d-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?")


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What a push makes visible, and to whom."""

    repository: str
    share: Share
    visible_to: str
    """"everybody", or who may see a private repository."""
    files: dict[str, int]
    """Path -> bytes."""
    reveals: tuple[str, ...]
    """What these files say of the campaign, one phrase each."""


def discreet_contract(contract: Contract, name: str) -> Contract:
    """A contract without stations, events, names and exact place; it still loads and picks."""
    frame, made = contract.frame, contract.provenance
    by = "Split by event." if made.validation_events or made.test_events else "Parted into folds by event."
    return dataclasses.replace(
        contract,
        frame=dataclasses.replace(
            frame,
            center_latitude_deg=_rounded(frame.center_latitude_deg),
            center_longitude_deg=_rounded(frame.center_longitude_deg),
        ),
        provenance=dataclasses.replace(
            made, campaign=name, split=by, split_sha256={}, stations=[], pick_times_sha256=[]
        ),
        versions={
            key: contract.versions[key].partition("+")[0] for key in _SHARED_VERSIONS if key in contract.versions
        },
    )


def discreet_evaluation(raw: Mapping[str, Any], name: str) -> dict[str, Any]:
    """`evaluation.json` with the numbers of its scores and of the training, and no text but our own."""
    about = {key: _numbers(value) for key, value in raw.get("about", {}).items() if key in _TRAINING_KEYS}
    shared = {"evaluation_version": raw["evaluation_version"]} if "evaluation_version" in raw else {}
    scores = raw.get("scores")
    if isinstance(scores, dict):
        shared["scores"] = {model: _numbers(scores[model]) for model in _SHARED_SCORES if model in scores}
    side = raw.get("about", {}).get("side")
    return {**shared, "about": {"adapter": name, "campaign": name, "side": side if side in SIDES else "test", **about}}


def _numbers(value: Any) -> Any:
    """What is left of JSON without texts: numbers, and words that only say which number is meant."""
    if isinstance(value, dict):
        return {key: _numbers(inner) for key, inner in value.items() if _KEY.fullmatch(key) and not _is_text(inner)}
    if isinstance(value, list):
        return [_numbers(inner) for inner in value if not _is_text(inner)]
    return value


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value not in _SHARED_WORDS


def discreet_card(card: Card, share: Share, about: Mapping[str, Any]) -> Card:
    """A card of tables and figures without waveforms (`scores`), or without any (`minimal`).

    about: that of `evaluation.json`, from which the card's own sentences on folds and pseudo-labels are made anew.
    """
    has_scores = share == "scores" and bool(card.tables)
    return dataclasses.replace(
        card,
        contract=discreet_contract(card.contract, card.name),
        tables={heading: card.tables[heading] for heading in _SHARED_TABLES if heading in card.tables and has_scores},
        figures={SCORE_FIGURES[file]: file for file in SCORE_FIGURES if file in card.figures.values() and has_scores},
        notes=[*_own_notes(about), _NOT_DISCLOSED] if has_scores else [_NOT_DISCLOSED, _NO_SCORES],
    )


def _own_notes(about: Mapping[str, Any]) -> list[str]:
    try:
        return notes_on_training(_numbers(dict(about)))
    except (KeyError, IndexError, TypeError, ValueError):  # not as our training writes it
        return []


def check_share(share: str) -> Share:
    """Return `share` if it is one, else raise `AdapterError`."""
    for known in get_args(Share):
        if share == known:
            return known  # type: ignore[no-any-return]  # one of the literals
    raise AdapterError(f"--share {share!r} is none of {', '.join(get_args(Share))}.")


@contextmanager
def shared_folder(
    found: Located, repository: str, share: Share, *, force: bool = False, folds: bool = False
) -> Iterator[Path]:
    """Yield a folder that holds what a push of this adapter to `repository` would send, with `folds` those too.

    Raises `AdapterError` for an adapter that is altered, or was never evaluated unless `force`.
    """
    stored = read_located(found)
    written = set(listed_files(found.folder)) - {MANIFEST, CARD}  # the card is for people, who may have edited it
    if altered := altered_files(found.folder, written):
        raise AdapterError(f"{altered[0]} It was altered after it was written; train it again, or remove the file.")
    if folds and FOLDS not in written:
        raise AdapterError(
            f"adapter {found.name!r} has no folds to push along: {why_no_folds(found.folder)}, or push without "
            "--with-folds."
        )
    evaluation = read_evaluation_json(found.folder)
    if evaluation is None and not force:
        raise AdapterError(
            f"adapter {found.name!r} has no {EVALUATION}: how well it picks is not known. Train it with train-adapter, "
            "which evaluates it, or push it all the same with --force."
        )
    with tempfile.TemporaryDirectory() as scratch:
        folder, contract = Path(scratch) / found.name, stored.contract
        if share == "all":
            folder.mkdir()
            copy_listed(found.folder, folder)
        else:
            source = read_json(found.folder / CARD_SOURCE) if (found.folder / CARD_SOURCE).is_file() else {}
            tables, figures = source.get("tables", {}), source.get("figures", {})
            whole = Card(found.name, stored.settings, contract, tables, figures, [])
            card = discreet_card(whole, share, (evaluation or {}).get("about", {}))
            contract, files = card.contract, {}
            evaluation = discreet_evaluation(evaluation, found.name) if evaluation and share == "scores" else None
            if evaluation is not None:
                files = {file: found.folder / file for file in SCORE_FIGURES if file in written}
                files[EVALUATION] = write_file(Path(scratch) / EVALUATION, json.dumps(evaluation, indent=1) + "\n")
            if folds:
                files.update({file: found.folder / file for file in written if is_of_folds(file)})
            write_adapter(folder, stored.settings, contract, stored.tensors, card, files)
        if not folds:
            for path in [path for path in folder.rglob("*") if is_of_folds(path.relative_to(folder).as_posix())]:
                path.unlink()
            shutil.rmtree(folder / "folds", ignore_errors=True)
        for figure in folder.glob("figures/*.png"):
            write_file(figure, bare_png(figure.read_bytes(), str(found.folder / "figures" / figure.name)))
        prose = (folder / CARD).read_text(encoding="utf-8") if (folder / CARD).is_file() else f"# {found.name}\n"
        write_file(folder / CARD, with_metadata(prose, metadata(found.name, contract, evaluation), repository))
        write_manifest(folder, found.name, [file for file in _sizes(folder) if file != MANIFEST])
        yield folder


def disclosure(folder: Path, repository: str, share: Share, *, public: bool) -> Disclosure:
    """What the files in `folder`, made by `shared_folder`, disclose."""
    organisation = repository.partition("/")[0]
    who = "everybody" if public else f"who may see private repositories of {organisation}"
    return Disclosure(repository, share, who, _sizes(folder), tuple(_reveals(folder)))


def bare_png(content: bytes, name: str) -> bytes:
    """A PNG's picture without what else the file carries: text, dates, colour profiles, anything behind its end.

    Raises `AdapterError` for what is no PNG.
    """
    kept, at = [content[:8]], 8
    while content[:8] == b"\x89PNG\r\n\x1a\n" and len(content) >= at + 12:
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        chunk = content[at : at + 12 + length]
        if len(chunk) != 12 + length or zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
            break
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            kept.append(chunk)
        if kind == b"IEND":
            return b"".join(kept)
        at += len(chunk)
    raise AdapterError(f"{name}: not a whole PNG. Train the adapter again, or remove the figure.")


def _reveals(folder: Path) -> Iterator[str]:
    contract = read_contract(folder)
    made, frame = contract.provenance, contract.frame
    yield f"the names of the adapter ({folder.name}) and of its backbone ({contract.backbone_name})"
    if made.campaign != folder.name:
        yield f"the campaign's name ({made.campaign})"
    picks = " and ".join(f"{made.train_picks.get(phase, 0)} {phase}" for phase in PHASES)
    yield (
        f"counts: {made.train_events}, {made.validation_events} and {made.test_events} events for training, validation "
        f"and testing, {picks} picks; who made the picks ({made.label_source}) and how they lie to the onsets"
    )
    if contract.uncertainty_calibration:
        yield "how the uncertainties of picks were calibrated, with counts of picks and events"
    if made.stations:
        few = ", ".join(made.stations[:4])
        yield f"{len(made.stations)} station codes ({few}{', ...' if made.stations[4:] else ''})"
    is_rounded = not made.stations and frame.center_latitude_deg % CENTRE_STEP_DEG == 0
    yield (
        f"the network's centre, {frame.center_latitude_deg:g} N {frame.center_longitude_deg:g} E"
        f"{f', rounded to {CENTRE_STEP_DEG:g} degrees' if is_rounded else ''}"
    )
    if made.split_sha256:
        yield "digests of the event ids: whoever has the catalogue can recognise its events"
    if made.pick_times_sha256:
        yield "digests of arrival times to 2 s: whoever tries all times can find when its events were"
    if (folder / FOLDS).is_file():
        yield "the adapters of the folds: what differs between them tells a little of each part of the events"
    if (folder / EVALUATION).is_file():
        yield "scores on the held-out events, with counts of picks and residuals window by window"
    texts = {file: (folder / file).read_text(encoding="utf-8") for file in _sizes(folder) if not _is_binary(file)}
    for file, text in texts.items():
        if times := _TIME.findall(text):
            yield f"times in {file} ({times[0]}{f' and {len(times) - 1} more' if times[1:] else ''})"
    if (folder / SECTION).is_file():
        yield f"waveforms, station codes and the time of a held-out event in {SECTION}"


def _sizes(folder: Path) -> dict[str, int]:
    return {p.relative_to(folder).as_posix(): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}


def _is_binary(file: str) -> bool:
    return file.endswith((".png", ".safetensors"))


def _rounded(degrees: float) -> float:
    return round(degrees / CENTRE_STEP_DEG) * CENTRE_STEP_DEG
