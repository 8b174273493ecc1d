"""Waveform files in, raw obspy streams out: by named formats only, out of archives too, with codes put right.

obspy's own guess tries every format it has, among them Python pickles (which run code), and unpacks whatever it can.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from phaseno_peft.campaign.channel_files import ENDINGS as YAML_ENDINGS
from phaseno_peft.campaign.channel_files import pairs_of_yaml
from phaseno_peft.campaign.seisbench_files import HDF5_HEAD, chunks_of, set_folder, stream_of
from phaseno_peft.campaign.unpack import is_packed, obspy_format, obspy_path, plain_files
from phaseno_peft.errors import CampaignError

if TYPE_CHECKING:
    from obspy import Stream, Trace

logger = logging.getLogger(__name__)

# fmt: off
FORMATS = frozenset((
    "MSEED", "SAC", "SACXY", "GSE1", "GSE2", "SEISAN", "Q", "SH_ASC", "SLIST", "TSPAIR", "Y", "SEGY", "SU", "SEG2",
    "WAV", "WIN", "AH", "PDAS", "KINEMETRICS_EVT", "GCF", "DMX", "ALSEP_PSE", "ALSEP_WTN", "ALSEP_WTH",
    "CYBERSHAKE", "KNET", "REFTEK130", "RG16",
))
# fmt: on
"""Formats of obspy that are read: every one that takes its samples from the file itself and runs nothing."""
POINTER_FORMATS = frozenset({"CSS", "NNSA_KB_CORE"})
"""Lists of other files, by any path: somebody else's list could name any file of yours."""
_LONGEST_GSE_LINE = 82
"""obspy copies each line of samples and a zero into 83 bytes, whatever its length: more writes over other memory."""
_MAX_SAMPLES_PER_BYTE = 8
"""More samples than this a byte of the file are a lie of its header; Steim and WIN reach 2 to 4."""

_WAVEFORM_NAME = re.compile(
    r".*\.(?:mseed|miniseed|msd|seed|sac|sgy|segy|sg2|seg2|su|gse|gse2|gcf|fcnt)(?:\.gz|\.bz2|\.xz)?"
    r"|[^.]*\.[^.]+\.[^.]*\.[^.]+\.[A-Z]\.\d{4}\.\d{3}",
    re.IGNORECASE,
)
"""Endings of waveform files, and names of an SDS tree: what is called so and cannot be read is damaged, not about
something else."""

ChannelMap = Mapping[str, str]
"""What a code of the files means: {"EH0": "Z"}, {"DYJN.EH0": "Z"}, {"Z7.DYJN..EH0": "EHZ"}; without station codes the
number of the trace in its file, {"1": "AAA.Z"} or {"1": "XX.AAA.00.HHZ"}."""


def read_waveforms(
    path: str | Path | Sequence[str | Path], channels: ChannelMap | str | Path | None = None
) -> dict[str, Stream]:
    """Raw streams by file stem: of one file, of a list of files, or of every waveform file in a folder, or below it.

    Compressed files and archives are opened within the limits of `phaseno_peft.campaign.unpack`; a set in SeisBench's
    format gives all its records. In a folder, files of no known waveform format are passed over. `channels` puts codes
    right, see `read_channels`. Raises `CampaignError` for missing, damaged and empty files, for a folder without
    waveforms, for pickles, which could run code, for lists of other files (CSS wfdisc), and for archives beyond the
    limits.
    """
    mapping = read_channels(channels)
    files, in_folder = list_files(path)
    found = {p: s for p in files if (s := read_file(p, in_folder=in_folder)) is not None}
    if not found:
        raise nothing_readable(path, files)
    named: dict[str, Stream] = {}
    for file, stream in found.items():
        rename_channels(stream, mapping)
        name = file.stem if file.stem not in named else file.name
        named[name] = named[name] + stream if name in named else stream
    return named


def list_files(path: str | Path | Sequence[str | Path]) -> tuple[list[Path], bool]:
    """The files of a folder and of those below it (SDS trees), of a list, or the one file; whether from a folder."""
    if isinstance(path, str | Path):
        if not Path(path).is_dir():
            return [Path(path)], False
        if set_folder(path) is not None:
            return [chunk.waveforms for chunk in chunks_of(Path(path))], False
        inside = ((p, p.relative_to(path).parts) for p in Path(path).rglob("*") if p.is_file())
        return sorted(p for p, parts in inside if not any(part.startswith(".") for part in parts)), True
    files = [Path(p) for p in path]
    if not files:
        raise CampaignError("the list of waveform files is empty. Give at least one file.")
    return files, False


def nothing_readable(path: Any, files: Sequence[Path]) -> CampaignError:
    """What is raised for a folder without waveforms."""
    return CampaignError(
        f"{path}: none of its {len(files)} files is a waveform file obspy can read. "
        "Give the folder that holds the MiniSEED, SAC or SEG-Y files themselves."
    )


def read_channels(channels: ChannelMap | str | Path | None) -> dict[str, str]:
    """What codes mean: a mapping, "EH0=Z,EH1=N,EH2=E", or a text file with one such pair a line (# begins a comment).

    Left of = stands a channel code, STATION.CODE, NET.STA.LOC.CODE, or, for formats without station codes (SEG-Y, SU,
    SEG-2), the number of the trace in its file, counted from 1. Right of = stands Z, N or E, or a code that ends so;
    behind a trace number a station code comes first: "1=AAA.Z,2=AAA.N,3=XX.BBB.00.HHZ". A minus sign before it turns
    the trace round: "EH0=-Z". A file that ends in .yaml is a list of such entries, see `channel_files`. Raises
    `CampaignError` for anything else.
    """
    if channels is None:
        return {}
    if isinstance(channels, Mapping):
        pairs, source = [(str(k), str(v)) for k, v in channels.items()], "channels"
    else:
        text, source = str(channels), "--channels"
        if Path(text).suffix.lower() in YAML_ENDINGS:
            return _checked(pairs_of_yaml(Path(text)), text)
        if "=" not in text or _is_a_file(text):
            try:
                text, source = Path(text).read_text(encoding="utf-8-sig"), text
            except (OSError, UnicodeDecodeError) as error:
                raise CampaignError(
                    f"--channels {text}: is neither CODE=COMPONENT, as in EH0=Z,EH1=N,EH2=E, nor a readable text file "
                    "with one such pair a line."
                ) from error
        lines = [line.split("#")[0] for line in text.splitlines()]
        entries = [entry for line in lines for entry in line.split(",") if entry.strip()]
        if lone := next((e for e in entries if "=" not in e), None):
            raise CampaignError(f"{source}: {lone.strip()!r} is not CODE=COMPONENT, as in EH0=Z,EH1=N,EH2=E.")
        pairs = [(left, right) for left, _, right in (entry.partition("=") for entry in entries)]
    return _checked(pairs, source)


def _is_a_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # a long list of pairs is no name that a file can have
        return False


def _checked(pairs: Sequence[tuple[str, str]], source: str) -> dict[str, str]:
    mapping: dict[str, str] = {}
    for left, right in ((a.strip().upper(), b.strip().upper()) for a, b in pairs):
        if right.rsplit(".", 1)[-1][-1:] not in ("Z", "N", "E") or right.count(".") not in (0, 1, 3) or right == "-":
            raise CampaignError(
                f"{source}: {left}={right} does not say Z, N or E. Write CODE=Z, or for trace 1 of a file without "
                "station codes 1=STATION.Z or 1=NET.STA.LOC.HHZ."
            )
        if "." in right and not (left.isdigit() and int(left) > 0):
            raise CampaignError(
                f"{source}: {left}={right} renames a station, but {left!r} is no number of a trace, counted from 1. "
                "Station codes are changed only where a file has none."
            )
        if mapping.setdefault(left, right) != right:
            raise CampaignError(f"{source}: {left} is given as {mapping[left]} and as {right}. Keep one of the two.")
    return mapping


def rename_channels(stream: Stream, mapping: ChannelMap) -> None:
    """Give the traces of one file the codes that `read_channels` names, in place.

    A single letter replaces the last letter of codes that differ only there (EH0, EH1, EH2 become EHZ, EHN, EHE), and
    the whole code of those that do not (V, H1, H2 become Z, N, E), so that one sensor's codes belong together.
    """
    if not mapping:
        return
    letters: dict[str, set[str]] = {}  # by all of a code but its last letter
    for left, signed in mapping.items():
        right = signed.removeprefix("-")
        if len(right) == 1:
            letters.setdefault(left.rsplit(".", 1)[-1][:-1], set()).add(right)
    without_vertical = [stem for stem, found in letters.items() if "Z" not in found]
    kept = {stem for stem, found in letters.items() if "Z" in found and (len(found) > 1 or not without_vertical)}
    if len(letters) == 1:
        kept |= set(letters)
    number = 0
    for trace in stream:
        stats = trace.stats
        station, code = stats.station.strip().upper(), stats.channel.strip().upper()
        if not station:
            number += 1
            if "." in (target := mapping.get(str(number), "")):
                _turn(trace, target)
                stats.update(codes_of_target(target))
            continue
        full = f"{stats.network.strip()}.{station}.{stats.location.strip()}.{code}".upper()
        found = next((mapping[k] for k in (full, f"{station}.{code}", code) if k in mapping), None)
        if found is not None and "." not in found:
            _turn(trace, found)
            found = found.removeprefix("-")
            stem = code[:-1] if len(found) == 1 and code[:-1] in kept else ""
            stats.channel = stem + found


def codes_of_target(target: str) -> dict[str, str]:
    """Network, station, location and channel code that a map gives a trace by its number: "-AAA.Z", "XX.AAA.00.HHZ"."""
    *place, channel = target.removeprefix("-").split(".")
    network, station, location = ("", *place, "") if len(place) == 1 else place
    return {"network": network, "station": station, "location": location, "channel": channel}


def _turn(trace: Trace, target: str) -> None:
    """Turn the samples of a trace round, where there are any, whose meaning says so."""
    if target.startswith("-") and len(trace.data):
        trace.data = -np.asanyarray(trace.data)


def read_file(path: Path, *, in_folder: bool, headers_only: bool = False) -> Stream | None:
    """Stream of one file, archives opened; None for a file of a folder that is no waveform file.

    Raises `CampaignError` as `read_waveforms` does.
    """
    from obspy import Stream

    if not path.is_file():
        raise CampaignError(f"{path}: no such waveform file. Give a file or a folder of files obspy can read.")
    with path.open("rb") as file:
        if file.read(len(HDF5_HEAD)) == HDF5_HEAD and not (in_folder and set_folder(path) is None):
            return stream_of(path, headers_only=headers_only)
    stream = Stream()
    unknown = 0
    with plain_files(path) as files:
        for name, plain in files:
            shown = f"{path}" if name == path.name else f"{path} ({name[-120:]})"
            read = _read_plain(plain, shown, headers_only=headers_only)
            if read is None:
                unknown += 1
            else:
                stream += read
    if not len(stream) and (unknown or in_folder):
        if in_folder and _WAVEFORM_NAME.fullmatch(path.name):
            raise CampaignError(f"{path}: is called a waveform file, but {_what_instead(path)}. Fetch it again.")
        if in_folder:
            logger.debug("%s: no waveform format, passed over", path)
            return None
        raise CampaignError(f"{path}: not a waveform format obspy knows. Convert it to MiniSEED.")
    if not len(stream):
        raise CampaignError(f"{path}: holds no trace. Leave it out.")
    return stream


def _what_instead(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(16)
    if not head:
        return "is empty"
    return f"holds none: it begins with {head!r}" if head.strip(b"\0") else "begins with zeros"


def miniseed_spans(path: Path, n_bytes: int) -> list[tuple[int, int]]:
    """(first byte, bytes) of the parts of about `n_bytes` that a big plain MiniSEED file can be read in.

    Empty for every other file, and where its records are not of one length.
    """
    size = path.stat().st_size
    if size <= n_bytes or is_packed(path) or obspy_format("waveform", path, ("MSEED",)) is None:
        return []
    from obspy.io.mseed.util import get_record_information

    try:
        record = int(get_record_information(str(path))["record_length"])
    except Exception:  # whatever obspy's parser does: the file is then read as a whole, which tells what is wrong
        return []
    step = max(1, n_bytes // record) * record
    with path.open("rb") as file:
        for first in range(0, size, step):
            file.seek(first)
            head = file.read(8)
            if not (head[:6].replace(b" ", b"0").isdigit() and head[6:7] in (b"D", b"R", b"Q", b"M")):
                return []
    return [(first, min(step, size - first)) for first in range(0, size, step)]


def read_span(path: Path, span: tuple[int, int], *, headers_only: bool = False) -> Stream:
    """Stream of one of the parts that `miniseed_spans` names. Raises `CampaignError` for damage."""
    with path.open("rb") as file:
        file.seek(span[0])
        return _obspy_read(io.BytesIO(file.read(span[1])), f"{path}", "MSEED", headers_only=headers_only)


def _read_plain(path: Path, shown: str, *, headers_only: bool) -> Any:
    """Stream of one file that is no archive; None where no format fits. `shown` names it in messages."""
    with path.open("rb") as file:
        head = file.read(100)
    if b"obspy.core.stream" in head:
        raise CampaignError(f"{shown}: is a Python pickle, which could run code. Write it as MiniSEED first.")
    name = obspy_format("waveform", path, FORMATS)
    if name is None:
        if obspy_format("waveform", path, POINTER_FORMATS) is not None:
            raise CampaignError(
                f"{shown}: is a CSS list of other files (wfdisc), which could name any file of yours. "
                "Convert the waveforms to MiniSEED, or move the list out of the folder."
            )
        return None
    if (look := _DAMAGE.get(name)) is not None and (damage := look(path)):
        raise CampaignError(f"{shown}: damaged, {damage}. Fetch it again, or leave it out.")
    source = obspy_path(path)
    if name != "MSEED":  # MiniSEED counts its samples record by record
        headers = _obspy_read(source, shown, name, headers_only=True)
        claimed, size = sum(max(0, trace.stats.npts) for trace in headers), path.stat().st_size
        if claimed > _MAX_SAMPLES_PER_BYTE * size:
            raise _damaged(shown, f"its header announces {claimed} samples in {size} bytes")
        if headers_only:
            return headers
    return _obspy_read(source, shown, name, headers_only=headers_only)


def _obspy_read(source: Any, shown: str, form: str, *, headers_only: bool) -> Stream:
    from obspy import read

    try:
        stream = read(source, format=form, check_compression=False, headonly=headers_only)
    except Exception as error:  # obspy's readers raise whatever their parsers do
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise _damaged(shown, first) from error
    if not len(stream):
        raise CampaignError(f"{shown}: holds no trace. Leave it out.")
    return stream


def _damaged(shown: str, why: str) -> CampaignError:
    return CampaignError(f"{shown}: damaged or not readable ({why}). Fetch it again, or leave it out.")


def _gse_damage(path: Path) -> str | None:
    """What would make obspy write over other memory: long lines, and samples without beginning or end.

    Traces of uncompressed integers (INT, INTV) are read by other code and may have any lines.
    """
    in_trace = has_samples = False
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.startswith((b"WID1", b"WID2")):
                if in_trace:
                    return f"the trace before line {number} has no checksum (CHK1, CHK2)"
                kind = line[44:48] if line.startswith(b"WID2") else line[74:78]
                in_trace, has_samples = kind.strip() not in (b"INT", b"INTV"), False
            elif in_trace and len(line) > _LONGEST_GSE_LINE and not line.startswith(b"STA2"):
                return f"line {number} has {len(line)} characters, where at most {_LONGEST_GSE_LINE} can stand"
            elif in_trace and line.startswith((b"CHK1", b"CHK2")):
                if not has_samples:
                    return f"the trace before line {number} has no samples (DAT1, DAT2)"
                in_trace = False
            has_samples = has_samples or line.startswith((b"DAT1", b"DAT2"))
    return "its last trace has no checksum (CHK1, CHK2)" if in_trace else None


def _rg16_damage(path: Path) -> str | None:
    """What would make obspy walk on behind the end of the file: more records announced than the file holds.

    A record is a block of 20 bytes, its extension headers of 32 and its samples of 4 bytes.
    """
    size = path.stat().st_size
    with path.open("rb") as file:

        def number(position: int, length: int) -> int:
            file.seek(position)
            return int.from_bytes(file.read(length), "big")

        n_sets = 10 * (number(28, 1) >> 4) + (number(28, 1) & 15)
        channels = {number(64 + 32 * i + 30, 1) or number(64 + 32 * i + 1, 1) for i in range(n_sets)}
        announced = number(64 + 32 * n_sets + 32 + 16, 4) * len(channels)
        block = 32 * (2 + n_sets + number(37, 2) + number(39, 3))
        for found in range(announced):
            if block + 20 > size:
                return f"its header announces {announced} records, but it ends after {found}"
            block += 20 + 32 * number(block + 9, 1) + 4 * number(block + 27, 3)
    return f"its last record ends {block - size} bytes behind its end" if block > size else None


_DAMAGE = {"GSE1": _gse_damage, "GSE2": _gse_damage, "RG16": _rg16_damage}
"""Format -> what is wrong with a file that obspy must not be given."""
