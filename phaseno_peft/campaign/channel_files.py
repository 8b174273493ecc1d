"""Channel maps in YAML: what each trace or code of waveform files is, and a first version of one to edit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from phaseno_peft.errors import CampaignError

if TYPE_CHECKING:
    from obspy import Stream

ENDINGS = (".yaml", ".yml")
_KEYS = ("trace", "code", "station", "component", "polarity")
_DEEPEST = 10
"""Brackets in each other, of which a map has two; the time that yaml takes grows with the square of them."""
_EMPTY = ("", "null", "~")
_EXAMPLE = "{trace: 1, station: XX.AAA.00, component: Z, polarity: 1}"
_HEAD = """\
# What the traces of these files are. Fill in `station` (STA or NET.STA.LOC, as in the station file) and `component`
# (Z, N, E, or a whole code such as HHZ); `polarity: -1` turns a trace round. Entries may be left out. Give the file
# back with --channels.
"""


def pairs_of_yaml(path: Path) -> list[tuple[str, str]]:
    """(code or number of a trace, what it means) of every entry; a leading "-" of the meaning is a reversed polarity.

    Raises `CampaignError` naming the entry for what is no channel map.
    """
    import yaml

    try:  # BaseLoader makes strings, lists and mappings only: 001 stays 001, NO is no truth value
        text, depth = path.read_text(encoding="utf-8-sig"), 0
        for event in yaml.parse(text, Loader=yaml.BaseLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise ValueError(f"line {event.start_mark.line + 1} has more than {_DEEPEST} brackets in each other")
        entries = yaml.load(text, Loader=yaml.BaseLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise CampaignError(f"{path}: cannot be read as YAML ({first}).") from error
    if not isinstance(entries, list):
        raise CampaignError(f"{path}: is no list of channels. Write one entry a line: - {_EXAMPLE}.")
    return [_pair(entry, f"{path}: entry {number}") for number, entry in enumerate(entries, start=1)]


def _pair(entry: Any, where: str) -> tuple[str, str]:
    is_map = isinstance(entry, dict) and all(isinstance(word, str) for pair in entry.items() for word in pair)
    if not is_map or not set(entry) <= set(_KEYS) or ("trace" in entry) == ("code" in entry):
        raise CampaignError(f"{where} is not like {_EXAMPLE} or {{code: EH1, component: N}}.")
    filled = {key: "" if word.strip().lower() in _EMPTY else word.strip() for key, word in entry.items()}
    component, station, polarity = (filled.get(key, "") for key in ("component", "station", "polarity"))
    if not component or ("trace" in filled and not station):
        raise CampaignError(
            f"{where} has no {'station' if component else 'component'}. Fill it in, or leave the entry out."
        )
    if polarity not in ("", "1", "+1", "-1"):
        raise CampaignError(f"{where}: `polarity` should be 1 or -1 but is {polarity[:40]!r}.")
    sign = "-" if polarity == "-1" else ""
    return filled.get("trace") or filled.get("code", ""), sign + ".".join(filter(None, (station, component)))


def first_channel_map(stream: Stream) -> str:
    """A channel map of one file's traces as YAML text, with what their headers say, to be edited."""
    lines, number = [_HEAD], 0
    for trace in stream:
        stats = trace.stats
        said = f"{stats.npts} samples, {stats.sampling_rate:g} Hz, from {stats.starttime}{_receiver(stats)}"
        if stats.station.strip():
            letter = stats.channel[-1:].upper()
            component = letter if letter in ("Z", "N", "E") else "null"
            lines.append(f"- {{code: {stats.network}.{stats.station}.{stats.location}.{stats.channel}, ")
            lines[-1] += f"component: {component}, polarity: 1}}  # {said}\n"
        else:
            number += 1
            lines.append(f"- {{trace: {number}, station: null, component: null, polarity: 1}}  # {said}\n")
    return "".join(lines)


def _receiver(stats: Any) -> str:
    """Where a SEG-Y or SU header puts the receiver, and which channel of the recorder it was."""
    header = (stats.get("segy") or stats.get("su") or {}).get("trace_header") or {}
    numbers = [header.get(f"group_coordinate_{axis}") for axis in "xy"]
    place = f", receiver at {numbers[0]}, {numbers[1]}" if None not in numbers and any(numbers) else ""
    channel = header.get("trace_number_within_the_original_field_record") or (stats.get("seg2") or {}).get(
        "CHANNEL_NUMBER"
    )
    return f"{place}, channel {channel} of the recorder" if channel else place
