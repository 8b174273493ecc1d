"""Waveform, station and catalogue files: the good ones, and how they are altered, wrapped and made hostile."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import pickle
import re
import struct
import tarfile
import tempfile
import warnings
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
from obspy import Catalog, Stream
from obspy.core.event import Arrival, Event, Origin, ResourceIdentifier, WaveformStreamID
from obspy.core.event import Pick as EventPick
from obspy.core.inventory import Channel, Inventory, Network, Site, Station

from benchmarks.attack.altered_adapters import Bomb
from benchmarks.attack.exported_tables import tables_of_picks, tables_of_stations
from benchmarks.attack.odd_values import damaged, odd_number, odd_text
from benchmarks.attack.subject import START, Subject
from phaseno_peft.campaign import read_catalogue, read_stations, read_waveforms
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.picks import Pick, PickList
from phaseno_peft.picks.pick_list import FORMATS

WAVEFORMS, STATIONS, CATALOGUES = "waveforms", "stations", "catalogues"
SET_WAVEFORMS = "waveforms.hdf5"
LARGEST_BYTES = 400_000
"""Of an altered file: obspy reads some 300 kB of a catalogue in a second, and a long reading is no hang."""
BOMB_BYTES = 2560 << 20
"""What a bomb unpacks to; the limit on memory is below."""


def good_files(subject: Subject) -> dict[str, dict[str, bytes]]:
    """Kind -> file name -> content, of everything the library is meant to read, and of the real files given to it."""
    made = {WAVEFORMS: _waveforms(subject), STATIONS: _stations(subject), CATALOGUES: _catalogues(subject)}
    made[STATIONS] |= tables_of_stations(subject)
    made[CATALOGUES] |= tables_of_picks(subject)
    for file in sorted(subject.files.rglob("*")) if subject.files is not None else ():
        if file.is_file() and file.stat().st_size <= LARGEST_BYTES:
            for kind in _kinds(file):
                made[kind][f"real-{file.name}"] = file.read_bytes()
    return made


def _kinds(file: Path) -> list[str]:
    """What a real file is read as; one that is not read as anything is altered as a catalogue."""
    kinds = []
    readers = {WAVEFORMS: read_waveforms, STATIONS: read_stations, CATALOGUES: read_catalogue}
    for kind, reader in readers.items():
        with contextlib.suppress(PhasenoPeftError):
            reader(file)
            kinds.append(kind)
    return kinds or [CATALOGUES]


def _waveforms(subject: Subject) -> dict[str, bytes]:
    files = {}
    whole = subject.stream
    floats = Stream([trace.copy() for trace in whole])
    for trace in floats:
        trace.data = trace.data.astype(np.float32)
    for encoding, stream in (("STEIM1", whole), ("STEIM2", whole), ("INT32", whole), ("FLOAT32", floats)):
        files[f"{encoding.lower()}.mseed"] = _written(stream, format="MSEED", encoding=encoding, reclen=512)
    files["record4096.mseed"] = _written(whole, format="MSEED", reclen=4096)
    files["traces.gse2"] = _written(whole, format="GSE2")
    files["traces.segy"] = _written(floats, format="SEGY", data_encoding=1)
    files["traces.su"] = _written(floats, format="SU")
    files["traces.slist"] = _written(whole, format="SLIST")
    files["traces.tspair"] = _written(whole[:3], format="TSPAIR")
    for trace in floats[:3]:
        files[f"{trace.id}.sac"] = _written(Stream([trace]), format="SAC")
    files["ascii.sac"] = _written(floats[:1], format="SACXY")
    files[SET_WAVEFORMS] = _hdf5(floats)
    return files


def _hdf5(stream: Stream) -> bytes:
    """The waveforms of a set in SeisBench's format; `set_metadata` goes beside."""
    with tempfile.TemporaryDirectory() as folder:
        with h5py.File(f"{folder}/{SET_WAVEFORMS}", "w") as file:
            for station in sorted({trace.stats.station for trace in stream}):
                traces = [stream.select(station=station, component=c)[0].data for c in "ZNE"]
                file.create_dataset(f"data/{station}", data=np.stack(traces), compression="gzip")
            file["data_format/dimension_order"], file["data_format/component_order"] = "CW", "ZNE"
        return (Path(folder) / SET_WAVEFORMS).read_bytes()


def set_metadata(subject: Subject) -> str:
    """The metadata of `_hdf5`."""
    lines = ["trace_name,trace_start_time,trace_sampling_rate_hz,station_network_code,station_code,trace_channel"]
    lines += [f"{code},{START},100.0,XX,{code},HH" for code in sorted({t.stats.station for t in subject.stream})]
    return "\n".join(lines) + "\n"


def _written(stream: Stream, **options: object) -> bytes:
    copies = Stream([trace.copy() for trace in stream])  # writing fills in headers
    with tempfile.TemporaryDirectory() as folder:
        copies.write(f"{folder}/written", **options)
        return next(Path(folder).iterdir()).read_bytes()


def _stations(subject: Subject) -> dict[str, bytes]:
    inventory = Inventory([], source="attack")
    network = Network("XX")
    for place in subject.stations:
        _, code, location = place.station_id.split(".")
        where = {"latitude": place.latitude_deg, "longitude": place.longitude_deg, "elevation": place.elevation_m}
        channels = [
            Channel(
                f"HH{c}", location, **where, depth=0.0, azimuth=a, dip=d, sample_rate=100.0, start_date=START - 86400
            )
            for c, a, d in (("E", 90, 0), ("N", 0, 0), ("Z", 0, -90))
        ]
        network.stations.append(
            Station(code, **where, site=Site("a field"), channels=channels, start_date=START - 86400)
        )
    inventory.networks.append(network)
    xml, text = io.BytesIO(), io.StringIO()
    inventory.write(xml, format="STATIONXML")
    inventory.write(text, format="STATIONTXT", level="channel")
    rows = [[*s.station_id.split("."), s.latitude_deg, s.longitude_deg, s.elevation_m] for s in subject.stations]
    header = ["network", "station", "location", "latitude", "longitude", "elevation_m"]
    tables = {
        f"stations.{ending}": "\n".join(mark.join(map(str, row)) for row in [header, *rows]).encode()
        for ending, mark in (("csv", ","), ("tsv", "\t"))
    }
    tables["local.csv"] = b"station,east_m,north_m,up_m\n" + b"".join(
        f"{s.station_id.split('.')[1]},{300 * i},{-200 * i},{-100 * i}\n".encode()
        for i, s in enumerate(subject.stations)
    )
    tables["run.in"] = b"".join(
        f"GTSRCE {s.station_id.split('.')[1]} LATLON {s.latitude_deg} {s.longitude_deg} 0.0 0.1\n".encode()
        for s in subject.stations
    )
    tables["STATION0.HYP"] = b"RESET TEST(02)=500.0\n\n  FOO 6135.94N  502.88E  20\n ABCDE4717583S  725610W-150\n\n"
    return {"stations.xml": xml.getvalue(), "fdsn.txt": text.getvalue().encode(), **tables}


def _catalogues(subject: Subject) -> dict[str, bytes]:
    picks, arrivals = [], []
    for number, station in enumerate(subject.stations):
        network, code, _ = station.station_id.split(".")
        for phase, onset in (("P", 1.5 + 0.2 * number), ("S", 2.6 + 0.35 * number)):
            pick = EventPick(
                resource_id=ResourceIdentifier(f"smi:local/pick/{code}{phase}"),
                time=START + onset,
                waveform_id=WaveformStreamID(network, code, channel_code="HHZ"),
                phase_hint=phase,
                evaluation_mode="manual",
            )
            picks.append(pick)
            arrivals.append(Arrival(pick_id=pick.resource_id, phase=phase, time_weight=1.0, distance=0.1, azimuth=10.0))
    origin = Origin(time=START + 1, latitude=12.01, longitude=-41.0, depth=3000.0, arrivals=arrivals)
    event = Event(resource_id=ResourceIdentifier("smi:local/event/1"), picks=picks, origins=[origin])
    event.preferred_origin_id = origin.resource_id
    catalogue, files = Catalog([event]), {}
    for name, form in (
        ("picks.xml", "QUAKEML"),
        ("picks.obs", "NLLOC_OBS"),
        ("picks.sc3ml", "SC3ML"),
        ("picks.json", "JSON"),
    ):
        files[name] = _events(catalogue, form)
    files["picks.out"] = _events(catalogue, "NORDIC")
    lines = ["station,phase,time,probability,uncertainty_s"]
    lines += [f"{p.waveform_id.get_seed_string()},{p.phase_hint},{p.time},0.9,0.05" for p in picks]
    files["picks.csv"] = "\n".join(lines).encode()
    return files | _picks_of_other_programs(subject)


def _picks_of_other_programs(subject: Subject) -> dict[str, bytes]:
    """Every format that `PickList.write` knows, and those that are only read."""
    onsets = [
        (station.station_id, phase, START + onset + late * number)
        for number, station in enumerate(subject.stations)
        for phase, onset, late in (("P", 1.5, 0.2), ("S", 2.6, 0.35))
    ]
    picks = PickList([Pick(i, phase, time, 0.9, 0.05) for i, phase, time in onsets])
    files: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # obspy's, of magnitudes that are not there
        for name in FORMATS:
            files[f"own.{name}"] = picks.write(Path(folder) / "picks", name, subject.stations).read_bytes()
    by_code = [(station_id.split("."), phase, time - START, time) for station_id, phase, time in onsets]
    archive = [f"{START.strftime('%Y%m%d%H%M%S00')}12 3000 41W3000  500"]
    for code, phase, late_s, _ in by_code:
        p, s = (f"{round(100 * late_s):5d}" if phase == of else " " * 5 for of in ("P", "S"))
        remarks = ("IPU0", "    ") if phase == "P" else ("    ", "ES 1")
        minute = START.strftime("%Y%m%d%H%M")
        archive.append(f"{code[1]:<5}{code[0]:2}  HHZ {remarks[0]}{minute}{p}{' ' * 7}{s}{remarks[1]}")
    files["picks.arc"] = "\n".join(archive).encode()
    blocks = [f"{code[1][:4]:<4}{phase}0{late_s:6.2f}" for code, phase, late_s, _ in by_code]
    lines = ["".join(blocks[at : at + 6]) for at in range(0, len(blocks), 6)]
    origin = f"{START.strftime('%y%m%d %H%M')}  0.00 12.0100N  41.0000W   3.00   1.00 0"
    files["picks.cnv"] = "\n".join([origin, *lines, ""]).encode()
    tables: dict[str, list[str]] = {
        "X_prediction_results.csv": ["network,station,p_arrival_time,p_probability,s_arrival_time,s_probability"],
        "metadata.csv": [
            "trace_start_time,trace_sampling_rate_hz,station_network_code,station_code,source_id,trace_P_arrival_sample"
        ],
        "temp.p": [],
    }
    for code, phase, late_s, time in by_code:
        station = f"{code[0]},{code[1]}"
        p, s = (str(time) if phase == of else "" for of in ("P", "S"))
        tables["X_prediction_results.csv"].append(f"{station},{p},0.9,{s},0.9")
        if phase == "P":
            tables["metadata.csv"].append(f"{START},100,{station},ev,{100 * late_s}")
        tables["temp.p"].append(f"{START.year},{START.month},{START.day},{station},1,{late_s},0.9,0.01")
    files |= {name: "\n".join(rows).encode() for name, rows in tables.items()}
    trace = subject.stream[0].copy()
    trace.data = trace.data.astype(np.float32)
    trace.stats.sac = {"b": 0.0, "a": 1.5, "ka": "IPU0", "t0": 2.6, "kt0": "S", "o": 1.0, "evla": 12.0, "evlo": -41.0}
    files["picks.sac"] = _written(Stream([trace]), format="SAC")
    return files


def _events(catalogue: Catalog, form: str) -> bytes:
    options: dict[str, object] = {"userid": "ABCD", "evtype": "L"} if form == "NORDIC" else {}
    with tempfile.TemporaryDirectory() as folder:
        catalogue.write(f"{folder}/written", format=form, **options)
        return (Path(folder) / "written").read_bytes()


def altered(content: bytes, name: str, rng: np.random.Generator) -> tuple[bytes, str]:
    """One alteration that fits the kind of file: bytes anywhere, numbers of binary headers, values of texts."""
    is_text = b"\0" not in content[:2000] and name.rpartition(".")[2] not in ("mseed", "segy", "su")
    choice = rng.random()
    if choice < 0.45:
        return damaged(content, rng)
    if is_text:
        return _altered_text(content, rng)
    return _altered_header(content, name, rng)


def _altered_header(content: bytes, name: str, rng: np.random.Generator) -> tuple[bytes, str]:
    """A number of a binary header becomes an extreme one: rates, counts, offsets, times."""
    limit = min(len(content), 3700 if name.endswith("segy") else 700)
    kinds = {"<i2": 2, ">i2": 2, "<i4": 4, ">i4": 4, "<f4": 4, ">f4": 4, "<f8": 8}
    kind = str(rng.choice(list(kinds)))
    size = kinds[kind]
    place = int(rng.integers(0, max(1, limit - size)))
    place -= place % int(rng.choice([1, 2, 4]))
    values = [0, -1, 1, 2**31 - 1, -(2**31), 32767, -32768, 1e-30, 3e38, np.nan, np.inf, 99.99931, 1e9, 65535, 7]
    value = values[int(rng.integers(len(values)))]
    with np.errstate(all="ignore"):
        number = np.array([value], np.float64)
        whole = np.nan_to_num(number, nan=0, posinf=2**31 - 1, neginf=0)
        encoded = (number if kind[1] == "f" else whole.astype(np.int64)).astype(kind).tobytes()
    return content[:place] + encoded + content[place + size :], f"{value} as {kind} at {place}"


def _altered_text(content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    text = content.decode("utf-8", "replace")
    kind = str(
        rng.choice(["number", "number", "number", "word", "line", "tag", "encoding", "many", "entities", "external"])
    )
    if kind in ("number", "word"):
        found = list(re.finditer(r"[-+]?\d[\d.eE:+-]*" if kind == "number" else r"[A-Za-z_]\w{1,30}", text))
        if found:
            match = found[int(rng.integers(len(found)))]
            value = odd_number(rng) if kind == "number" else odd_text(rng).replace("x" * 100_000, "x" * 5000)
            text = text[: match.start()] + value + text[match.end() :]
    elif kind == "line":
        lines = text.splitlines(keepends=True) or [""]
        place = int(rng.integers(len(lines)))
        lines[place : place + 1] = lines[place : place + 1] * int(rng.choice([0, 2, 300]))
        text = "".join(lines)
    elif kind == "tag":
        found = list(re.finditer(r"<[^>]*>", text))
        if found:
            match = found[int(rng.integers(len(found)))]
            text = (
                text[: match.start()]
                + str(rng.choice(["", match[0] * 2, "<x>" * 3000, "<![CDATA["]))
                + text[match.end() :]
            )
    elif kind == "encoding":
        encoding = str(rng.choice(["utf-16", "utf-32", "latin-1", "utf-8-sig", "cp500"]))
        return (text + "é").encode(encoding, "replace"), f"as {encoding}"
    elif kind == "many":
        text = text * min(200, 1 + (2 << 20) // max(1, len(text)))
    elif "<?xml" in text:
        head, _, rest = text.partition("?>")
        if kind == "entities":
            levels = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 11))
            text = f'{head}?><!DOCTYPE x [<!ENTITY a0 "boom">{levels}]>{_with_entity(rest, "&a10;")}'
        else:
            text = f'{head}?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>{_with_entity(rest, "&e;")}'
    return text.encode("utf-8", "surrogatepass"), kind


def _with_entity(text: str, entity: str) -> str:
    return re.sub(r">([^<>]*\w[^<>]*)<", lambda _: f">{entity}<", text, count=3)


def wrapped(content: bytes, name: str, rng: np.random.Generator) -> tuple[bytes, str, str]:
    """The file packed as archives do, once or twice; content, name and how."""
    how = []
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        kind = str(rng.choice(["gz", "bz2", "zip", "tar", "tar.gz", "gz", "tar", "xz"]))
        inner = name if rng.random() < 0.8 else str(rng.choice(["../x.mseed", "/tmp/x.mseed", "a" * 300, ""]))
        content = _packed(content, kind, inner)
        name = f"{name}.{kind}" if rng.random() < 0.7 else name
        how.append(kind)
    return content, name, " in ".join(reversed(how))


def _packed(content: bytes, kind: str, inner: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "gz":
        return gzip.compress(content, 1, mtime=0)
    if kind == "bz2":
        return bz2.compress(content, 1)
    if kind == "xz":
        return lzma.compress(content, preset=0)
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo(inner or "x"), content)
        return buffer.getvalue()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo(inner or "x")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), 1, mtime=0) if kind == "tar.gz" else buffer.getvalue()


def pickled(mark: Path, rng: np.random.Generator) -> bytes:
    """What obspy's own formats for pickled streams and catalogues look like, with code inside."""
    name = [b"obspy.core.stream\nStream", b"obspy.core.event\nCatalog", b"obspy.core.inventory\nInventory"]
    protocol = int(rng.choice([0, 2, 4]))
    bomb = pickle.dumps(Bomb(mark), protocol)
    head = b"c" + name[int(rng.choice([0, 0, 0, 1, 2]))] + b"\n0"
    return head + bomb if protocol == 0 else bomb[:2] + head + bomb[2:]


def bombs() -> dict[str, bytes]:
    """Files of some megabytes or less that unpack to `BOMB_BYTES`, or to very many members."""
    piece = bytes(64 << 20)
    pieces = BOMB_BYTES // len(piece)
    made = {"bomb.gz": gzip.compress(piece, 6, mtime=0) * pieces, "bomb.bz2": bz2.compress(piece, 9) * pieces}
    made["bomb.xz"] = lzma.compress(piece, preset=0) * pieces
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    block = deflate.compress(piece) + deflate.flush(zlib.Z_FULL_FLUSH)
    packed = block * pieces + deflate.flush()
    made["bomb.zip"] = _zip_of(packed, pieces * len(piece))
    many = io.BytesIO()
    with zipfile.ZipFile(many, "w") as archive:
        for number in range(20_000):
            archive.writestr(f"{number}", b"")
    made["many.zip"] = many.getvalue()
    inner = made["bomb.gz"]
    made["nested.gz"] = gzip.compress(inner, 6, mtime=0)
    made["nested.tar"] = _packed(made["bomb.bz2"], "tar", "day.mseed")
    header = tarfile.TarInfo("day.mseed")
    header.size = 1 << 40
    made["huge.tar"] = header.tobuf() + bytes(10_240)
    return made


def _zip_of(packed: bytes, size: int) -> bytes:
    """A zip of one member, by hand: its checksum is wrong, which shows only when all of it was unpacked."""
    name = b"day.mseed"
    both = struct.pack("<HHHHIIIHH", 0, 8, 0, 33, 0, len(packed), size, len(name), 0)
    local = b"PK\x03\x04" + struct.pack("<H", 20) + both + name
    central = b"PK\x01\x02" + struct.pack("<HH", 20, 20) + both + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local) + len(packed), 0)
    return local + packed + central + end
