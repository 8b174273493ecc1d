"""Attack reading, loading, writing and picking, and count what happened.

    python -m benchmarks.attack --seed 1
    python -m benchmarks.attack --only adapters --count 500
    python -m benchmarks.attack --only inputs --files ../shared/data/formats
    python -m benchmarks.attack --only inputs --seed 1 --number 1234    # one attack again, with what it did and saw

Everything follows from the seed. Nothing outside a scratch folder is written, but with --write RESULT.md beside this.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: processes are forked, networks are small
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from benchmarks.attack.report import GOOD, AttackResult, Tally, markdown
from benchmarks.attack.subject import Subject, subject
from benchmarks.attack.worker import Attempt, Limits, bounded

FULL = {"adapters": 20_000, "inputs": 20_000, "kills": 200, "threads": 10_000}
"""Attacks of a whole run; kills are counted for each operation."""


def adapters(here: Subject, seed: int) -> Attempt:
    """In a process of its own."""
    from benchmarks.attack.adapters import AdapterAttack

    return AdapterAttack(here, seed)


def inputs(here: Subject, seed: int) -> Attempt:
    """In a process of its own."""
    from benchmarks.attack.inputs import InputAttack

    return InputAttack(here, seed)


def run(part: str, here: Subject, seed: int, count: int, stop_at: float, number: int | None = None) -> Tally:
    """One part, as far as the time reaches."""
    tally, begun = Tally(part, count), time.monotonic()
    if part in ("adapters", "inputs"):
        start: Callable[[Subject, int], Attempt] = {"adapters": adapters, "inputs": inputs}[part]
        numbers = iter(range(count) if number is None else [number])
        attacks: Iterator[tuple[int | str, AttackResult]] = bounded(
            lambda: start(here, seed), numbers, Limits(), stop_at, here.doing
        )
    elif part == "kills":
        from benchmarks.attack.kills import kill_attacks

        attacks = kill_attacks(here, seed, count, stop_at)
    else:
        from benchmarks.attack.threads import pick_attacks

        attacks = pick_attacks(here, seed, count, stop_at)
    for which, result in attacks:
        tally.add(which, result)
        if number is not None:
            print(f"{part} {which}: {result.outcome}: {result.what}")
        if sys.stderr.isatty() and tally.done % 50 == 0:
            print(f"\r{part} {tally.done}, {len(tally.faults)} faults", end="", file=sys.stderr)
    tally.seconds = time.monotonic() - begun
    return tally


def main(arguments: list[str] | None = None) -> int:
    """Run the parts that were asked for; the exit status is 1 if anything came out wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attack", description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default=",".join(FULL), help="parts, with commas: %(default)s")
    parser.add_argument(
        "--count", type=int, help="attacks a part, by default " + ", ".join(f"{n} {p}" for p, n in FULL.items())
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="for all parts together (%(default)s)")
    parser.add_argument("--number", type=int, help="one attack of adapters or inputs again")
    parser.add_argument("--files", type=Path, help="folder of real files whose copies are altered too (inputs)")
    parser.add_argument("--write", action="store_true", help="write RESULT.md beside this program")
    chosen = parser.parse_args(arguments)
    parts = chosen.only.split(",")
    if unknown := sorted(set(parts) - set(FULL)):
        parser.error(f"--only: {unknown[0]!r} is none of {', '.join(FULL)}")
    import torch

    torch.set_num_threads(1)
    tallies, stop_at = [], time.monotonic() + 60 * chosen.minutes
    with subject(chosen.seed) as made:
        here = dataclasses.replace(made, files=chosen.files)
        for done, part in enumerate(parts):
            left = stop_at - time.monotonic()
            until = time.monotonic() + left / (len(parts) - done)  # what a part does not use is left to the next
            tallies.append(run(part, here, chosen.seed, chosen.count or FULL[part], until, chosen.number))
    text = markdown(tallies, chosen.seed)
    print(text)
    if chosen.write:
        (Path(__file__).parent / "RESULT.md").write_text(
            f"# python -m benchmarks.attack --seed {chosen.seed}\n\n{text}"
        )
    return (
        0
        if all(tally.counts[outcome] == 0 for tally in tallies for outcome in tally.counts if outcome not in GOOD)
        else 1
    )


if __name__ == "__main__":
    sys.exit(main())
