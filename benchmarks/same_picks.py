"""The same record, stored and given in many ways: are the picks the same?

    python -m benchmarks.same_picks continuous/waveforms stations.xml --hours 0.25
    python -m benchmarks.same_picks continuous/waveforms stations.xml --hours 0.25 --adapter samba-nz

The first hours of the record are picked as one file, by Python. Then they are picked again as even files, as a file a
minute, as fragments of uneven length under shuffled names, as a Stream in memory, as Streams that come one after the
other, in other blocks, and by the command line. Each row is held against the first. The goals are those of the
project: every pick there, times within 1 ms, probabilities within 1e-4. A row that misses one makes the exit status 1.
Records of more than half an hour are prepared span by span, shorter ones as a whole: try both.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from obspy import Stream, Trace, UTCDateTime, read

from phaseno_peft import Picker, PickList, load_adapter
from phaseno_peft.campaign.sources import Source
from phaseno_peft.contract import PHASES
from phaseno_peft.evaluation.matching import match
from phaseno_peft.text_tables import TextTable

GOAL_MS, GOAL_PROBABILITY = 1.0, 1e-4
TOLERANCE_S = 0.1
"""Picks of one station and phase that lie farther apart are two picks."""
EVEN_FILES = 24
"""As a day in files of an hour."""
SHORTEST_FRAGMENT_S, LONGEST_FRAGMENT_S = 0.5, 50.0
"""Shorter than any window, and longer than one."""


@dataclass(frozen=True)
class Difference:
    """Picks held against those of the one file."""

    n_picks: int
    n_missing: int
    n_additional: int
    time_ms: float
    """Largest difference of a pick's time."""
    probability: float
    """Largest difference of a pick's probability."""

    @property
    def is_met(self) -> bool:
        """Whether the goals are met."""
        is_complete = self.n_missing == 0 and self.n_additional == 0
        return is_complete and self.time_ms <= GOAL_MS and self.probability <= GOAL_PROBABILITY


def difference(found: PickList, expected: PickList) -> Difference:
    """How far the picks lie from those that are expected, station by station and phase by phase."""
    missing = additional = 0
    times_s, probabilities = [0.0], [0.0]
    for trace_id, phase in itertools.product(sorted({p.trace_id for p in [*found, *expected]}), PHASES):
        own, others = ([p for p in picks if (p.trace_id, p.phase) == (trace_id, phase)] for picks in (found, expected))
        if not own or not others:
            missing, additional = missing + len(others), additional + len(own)
            continue
        begin = others[0].time
        pairs = match([p.time - begin for p in own], [p.time - begin for p in others], TOLERANCE_S)
        missing += len(pairs.unmatched_labels)
        additional += len(pairs.unmatched_picks)
        times_s += [abs(own[i].time - others[j].time) for i, j in pairs.pairs]
        probabilities += [abs(own[i].probability - others[j].probability) for i, j in pairs.pairs]
    return Difference(len(found), missing, additional, 1e3 * max(times_s), max(probabilities))


def cut(stream: Stream, edges: Sequence[UTCDateTime]) -> list[Stream]:
    """The record between neighbouring edges; every sample is in one piece, pieces without samples are left out."""
    pieces = [Stream([part for trace in stream if (part := _between(trace, *e))]) for e in itertools.pairwise(edges)]
    return [piece for piece in pieces if piece]


def _between(trace: Trace, begin: UTCDateTime, end: UTCDateTime) -> Trace | None:
    """Samples from `begin` to before `end`, None where there are none."""
    start, rate_hz = trace.stats.starttime, trace.stats.sampling_rate
    first, last = (min(max(math.ceil((t - start) * rate_hz - 1e-3), 0), trace.stats.npts) for t in (begin, end))
    header = {key: trace.stats[key] for key in ("network", "station", "location", "channel", "sampling_rate")}
    header["starttime"] = start + first / rate_hz
    return Trace(trace.data[first:last], header) if last > first else None


def even_edges(begin: UTCDateTime, end: UTCDateTime, length_s: float) -> list[UTCDateTime]:
    """Every `length_s` from the beginning on, the last one behind the end."""
    n_pieces = math.ceil(round((end - begin) / length_s, 6))
    return [begin + i * length_s for i in range(n_pieces)] + [end + 1]


def uneven_edges(begin: UTCDateTime, end: UTCDateTime, rng: np.random.Generator) -> list[UTCDateTime]:
    """Edges whose distances are drawn evenly in their logarithm."""
    edges = [begin]
    while edges[-1] <= end:
        edges.append(edges[-1] + float(np.exp(rng.uniform(*np.log([SHORTEST_FRAGMENT_S, LONGEST_FRAGMENT_S])))))
    return edges


def written(folder: Path, pieces: Sequence[Stream], shuffle_seed: int | None = None) -> Path:
    """A folder with a MiniSEED file for each piece, named in their order or, with a seed, shuffled."""
    folder.mkdir()
    names = [f"{i:05d}.mseed" for i in range(len(pieces))]
    if shuffle_seed is not None:
        random.Random(shuffle_seed).shuffle(names)
    for name, piece in zip(names, pieces, strict=True):
        piece.write(str(folder / name), "MSEED")
    return folder


def first_hours(folder: Path, hours: float) -> Stream:
    """The first hours of all files of a folder, or of one file."""
    files = sorted(file for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else [folder]
    stream = Stream([trace for file in files for trace in read(str(file))])
    begin = min(trace.stats.starttime for trace in stream)
    return cut(stream, [begin, begin + 3600 * hours])[0]


def sources(stream: Stream, scratch: Path, seed: int) -> Iterator[tuple[str, int, Source, float | None]]:
    """(what it is, how many files or Streams, source, seconds of a block; None for the usual ones)."""
    begin = min(trace.stats.starttime for trace in stream)
    end = max(trace.stats.endtime for trace in stream)
    even = cut(stream, even_edges(begin, end, (end - begin) / EVEN_FILES))
    minutes = cut(stream, even_edges(begin, end, 60.0))
    uneven = cut(stream, uneven_edges(begin, end, np.random.default_rng(seed)))
    yield "even files", len(even), written(scratch / "even", even), None
    yield "a file a minute", len(minutes), written(scratch / "minutes", minutes), None
    yield "uneven shuffled files", len(uneven), written(scratch / "uneven", uneven, seed), None
    yield "a Stream in memory", 1, stream, None
    yield "Streams in turn, blocks of 77 s", len(minutes), iter(minutes), 77.0


def picked_by_command(records: Path, stations: Path, adapter: str | None, out: Path) -> PickList:
    """What `phaseno-peft pick` writes."""
    which = ["--frozen"] if adapter is None else ["--adapter", adapter]
    words = ["pick", records, "--stations", stations, *which, "--out", out, "--quiet"]
    subprocess.run([sys.executable, "-m", "phaseno_peft", *map(str, words)], check=True)
    return PickList.from_csv(out)


def main() -> None:
    """Pick in every way and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("waveforms", type=Path, help="folder or file")
    parser.add_argument("stations", type=Path)
    parser.add_argument("--hours", type=float, default=0.25)
    parser.add_argument("--adapter", default=None, help="default: the frozen backbone")
    parser.add_argument("--seed", type=int, default=0, help="of the uneven lengths and the shuffled names")
    arguments = parser.parse_args()
    picker = Picker.load() if arguments.adapter is None else load_adapter(arguments.adapter)
    stream = first_hours(arguments.waveforms, arguments.hours)
    columns = ["record as", "files", "picks", "missing", "additional", "time ms", "probability", "goals"]
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        one = written(scratch / "one", [stream])
        expected = picker.classify(one, arguments.stations)
        rows.append(["one file", "1", f"{len(expected)}", "", "", "", "", ""])
        found = [
            (name, n, picker.classify(source, arguments.stations, **({"block_s": block_s} if block_s else {})))
            for name, n, source, block_s in sources(stream, scratch, arguments.seed)
        ]
        by_command = picked_by_command(scratch / "minutes", arguments.stations, arguments.adapter, scratch / "out.csv")
        found.append(("phaseno-peft pick, a file a minute", len(list((scratch / "minutes").iterdir())), by_command))
    differences = [difference(picks, expected) for _, _, picks in found]
    for (name, n, _), d in zip(found, differences, strict=True):
        numbers = [f"{d.n_picks}", f"{d.n_missing}", f"{d.n_additional}", f"{d.time_ms:.4f}", f"{d.probability:.1e}"]
        rows.append([name, f"{n}", *numbers, "met" if d.is_met else "MISSED"])
    print(TextTable(columns, rows).markdown(), end="")
    sys.exit(0 if all(d.is_met for d in differences) else 1)


if __name__ == "__main__":
    main()
