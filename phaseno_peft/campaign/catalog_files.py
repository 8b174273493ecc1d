"""Files of events: QuakeML and its kin by obspy, tables of picks by ourselves, one file or a folder of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from phaseno_peft.campaign.catalog import Catalogue, CatalogueEvent
from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.fixed_columns import events_of_archive, events_of_velest
from phaseno_peft.campaign.foreign import foreign_kind
from phaseno_peft.campaign.hypodd_phases import events_of_hypodd
from phaseno_peft.campaign.markers import events_of_markers
from phaseno_peft.campaign.nlloc_observations import events_of_observations
from phaseno_peft.campaign.obspy_events import labelled_events, stored_uuids
from phaseno_peft.campaign.pick_tables import events_of_real_table, events_of_table
from phaseno_peft.campaign.sac_picks import tally_sac_picks
from phaseno_peft.campaign.scml import read_scml
from phaseno_peft.campaign.seisbench_files import chunks_of, set_folder
from phaseno_peft.campaign.station_files import FORMATS as STATION_FORMATS
from phaseno_peft.campaign.table_files import decoded, is_wide_text, tables_of
from phaseno_peft.campaign.tally import Tally
from phaseno_peft.campaign.unpack import obspy_format, obspy_path, plain_files
from phaseno_peft.campaign.waveform_files import FORMATS as WAVEFORM_FORMATS
from phaseno_peft.campaign.xml_files import is_xml, refuse_document_type
from phaseno_peft.errors import CampaignError

XML_FORMATS = ("QUAKEML", "SCML")
TEXT_FORMATS = ("NORDIC", "NLLOC_HYP", "IMS10BULLETIN", "GSE2", "MCHEDR", "EVT")
"""obspy's readers of picks, all of text. What holds no picks (NDK, ZMAP, CMTSOLUTION, ...) is no catalogue here."""
TEXT_READERS: tuple[Callable[[str, str, Tally], list[CatalogueEvent] | None], ...] = (
    events_of_markers,
    events_of_hypodd,
    events_of_observations,
    events_of_archive,
    events_of_velest,
    events_of_real_table,
    events_of_table,
)
"""Our own, asked before obspy; each gives None for what is not its format."""
_WHAT_TO_GIVE = "Export the picks as QuakeML, or give a CSV with the columns station,phase,time."


def read_catalogue(path: Any, *, of_a_picker: bool = False, may_be_empty: bool = False) -> Catalogue:
    """Events and picks of a file, of a folder with files in it at any depth, or of an obspy `Catalog`.

    Files are QuakeML, SCML, Nordic, NLLOC_HYP and NLLOC_OBS, IMS 1.0, GSE2, HypoDD phases, or a CSV of picks (our own,
    PhaseNet's, GaMMA's, SeisBench's metadata); a folder may be a set in SeisBench's format. The content decides, not
    the ending, and archives are opened. A pick's phase is that of its arrival, or else its hint: names starting with P
    count as P, with S as S, others are left out and counted. One pick is kept a station, phase and event, by
    `one_per_station_and_phase`, and every pick of a list `of_a_picker`, whose events may be none. Events without ids of
    their own get one of their content. Raises `CampaignError` for a missing or unreadable file, two different events
    with one id, and a catalogue without any P or S pick, unless it `may_be_empty`.
    """
    if isinstance(path, Catalogue):
        return path
    tally, findings = Tally(keeps_repeats=of_a_picker), list[Finding]()
    if isinstance(path, str | Path):
        source = Path(path).name
        found = _read_path(Path(path), tally, findings)
    else:
        source = "the catalogue"
        found = [(source, event) for event in labelled_events(path, tally)]
    found += [(source, event) for event in tally.gathered()]
    events = _each_once(found, source, findings)
    if not any(e.picks for e in events) and not (may_be_empty and not tally.n_picks):
        n = tally.n_picks
        seen = f"{n} picks, none of them P or S with a time and a station" if n else "no picks"
        if tally.ignored:
            seen += f" (their phases are called {', '.join(map(repr, sorted(tally.ignored)[:5]))})"
        raise CampaignError(f"{source}: {len(events)} events and {seen}. Give a catalogue that holds the pick times.")
    return Catalogue(tuple(sorted(events, key=_event_time)), source, (*findings, *tally.findings(source)))


def joined_catalogue(catalogues: Sequence[Catalogue]) -> Catalogue:
    """The events of several catalogues as one. Raises `CampaignError` for different events under one id."""
    if len(catalogues) == 1:
        return catalogues[0]
    findings: list[Finding] = []
    source = ", ".join(dict.fromkeys(each.source for each in catalogues))
    events = _each_once([(each.source, event) for each in catalogues for event in each.events], source, findings)
    told = [finding for each in catalogues for finding in each.findings]
    return Catalogue(tuple(sorted(events, key=_event_time)), source, (*findings, *told))


def _read_path(path: Path, tally: Tally, findings: list[Finding]) -> list[tuple[str, CatalogueEvent]]:
    """(file, event) of all files; what was passed over or is damaged in a folder becomes a finding."""
    if not path.exists():
        raise CampaignError(
            f"{path}: no such catalogue file. Give a file or folder of picks: QuakeML, another catalogue, or CSV."
        )
    files = [path]
    if set_folder(path) is not None:
        files = [chunk.metadata for chunk in chunks_of(path)]
    elif path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file() and not _is_hidden(p.relative_to(path)))
    found: list[tuple[str, CatalogueEvent]] = []
    passed_over: list[str] = []
    failures: list[CampaignError] = []
    n_read, instead = 0, ""
    for file in files:
        try:
            with plain_files(file) as members:
                for name, member in members:
                    events = _read_file(name, member, tally)
                    tally.end_of_file()
                    if events is None:
                        passed_over.append(name)
                        instead = "" if path.is_dir() else _what_it_is(member)
                    else:
                        n_read += 1
                        found += [(name, event) for event in events]
        except CampaignError as error:
            if not path.is_dir():
                raise
            failures.append(error)
    if not n_read:
        if failures:
            raise failures[0]
        if len(passed_over) != 1:
            text = f"none of its {len(passed_over)} files is a catalogue of picks. {_WHAT_TO_GIVE}"
        else:
            text = instead or f"not readable as QuakeML or another event format. {_WHAT_TO_GIVE}"
        raise CampaignError(f"{path}: {text}")
    if passed_over:
        more = f" and {len(passed_over) - 3} more" if len(passed_over) > 3 else ""
        text = f"{path.name}: {', '.join(passed_over[:3])}{more} passed over: no catalogues of picks."
        findings.append(Finding("note", text))
    findings += [Finding("warning", f"left out: {error}") for error in failures]
    return found


def _what_it_is(path: Path) -> str:
    """The end of a sentence about a plain file that is no catalogue; empty where it is not known either."""
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        return f"is empty. {_WHAT_TO_GIVE}"
    if tables_of(path.name, path, head) is not None:
        return "holds a table, but none of picks: its columns should name station, phase and time."
    if (text := foreign_kind(head)) is not None:
        return f"{text}."
    if (name := obspy_format("waveform", path, WAVEFORM_FORMATS)) is not None:
        return f"holds waveforms ({name}) and no picks. Give it with the waveforms."
    if obspy_format("inventory", path, STATION_FORMATS) is not None:
        return "holds stations and no picks. Give it as the station file."
    if path.suffix.lower() in (".csv", ".tsv") and b"\0" not in head and head.lstrip()[:1] not in (b"[", b"{"):
        first = decoded(head).splitlines()[0][:80]
        return (
            f"is a table without a header that names station, phase and time; it begins with {first!r}. Add a header, "
            "or say what its columns mean in a first line such as # columns: time=...,phase=...,station=..."
        )
    return ""


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _read_file(name: str, path: Path, tally: Tally) -> list[CatalogueEvent] | None:
    """Events of a plain file; None where it is no catalogue of picks."""
    with path.open("rb") as file:
        head = file.read(4096)
    stored: set[str] | None = None
    if (tables := tables_of(name, path, head)) is not None:
        return _events_of_tables(name, tables, tally)
    if is_xml(head):
        refuse_document_type(name, path, "QuakeML")
        format_name = obspy_format("event", path, XML_FORMATS)
    elif b"\0" in head and not is_wide_text(head):  # waveforms and the like: no text format of picks holds a zero byte
        return [] if tally_sac_picks(name, path, tally) else None
    else:
        content = path.read_bytes()
        text = decoded(content)
        for read in TEXT_READERS:
            if (events := read(name, text, tally)) is not None:
                return events
        format_name = obspy_format("event", path, TEXT_FORMATS)
        if format_name is None:
            return events_of_table(name, text, tally, blanks=True)
        stored = stored_uuids(content)
    if format_name is None:
        return None
    from obspy import read_events

    try:
        if format_name == "SCML":
            catalog = read_scml(path)
        else:
            catalog = read_events(obspy_path(path), format=format_name, check_compression=False)
    except Exception as error:  # obspy's readers raise whatever their parsers do
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise CampaignError(f"{name}: not readable as {format_name} ({first}). {_WHAT_TO_GIVE}") from error
    return labelled_events(catalog, tally, format_name=format_name, stored=stored)


def _events_of_tables(name: str, tables: Iterable[tuple[str, str]], tally: Tally) -> list[CatalogueEvent] | None:
    """Events of the sheets of a workbook, or of another table that is no text; None where none is of picks."""
    found: list[CatalogueEvent] | None = None
    for sheet, text in tables:
        where = f"{name}, sheet {sheet}" if sheet else name
        if (events := events_of_table(where, text, tally)) is not None:
            found = [*(found or ()), *events]
    return found


def _each_once(found: list[tuple[str, CatalogueEvent]], source: str, findings: list[Finding]) -> list[CatalogueEvent]:
    """Events with one left of those given several times alike; different ones under one id are refused."""
    kept: dict[str, tuple[str, CatalogueEvent]] = {}
    again: Counter[str] = Counter()
    for file, event in found:
        first_file, first = kept.setdefault(event.event_id, (file, event))
        if first is event:
            continue
        if first.readings != event.readings:
            where = f" (in {first_file} and {file})" if first_file != file else ""
            raise CampaignError(
                f"{source}: event {event.event_id} is given twice{where}, with different picks. "
                "Keep one of the two, or give it another id."
            )
        again[event.event_id] += 1
    if again:
        text = (
            f"{source}: {len(again)} events are given more than once with the same picks, the first {next(iter(again))}"
        )
        findings.append(Finding("warning", f"{text}; each is kept once.", kind="duplicate event", file=source))
    return [event for _, event in kept.values()]


def _event_time(event: CatalogueEvent) -> float:
    if event.picks:
        return float(event.picks[0].time.timestamp)
    return float(event.origin_time.timestamp) if event.origin_time is not None else 0.0
