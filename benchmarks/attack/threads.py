"""Eight threads on one picker: picks of every kind beside loads, reloads, removals and switches, each compared."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import queue
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.attack.report import AttackResult
from benchmarks.attack.subject import NAMES, Subject
from phaseno_peft.backbone import StationGraph
from phaseno_peft.cr_lora import adapters_by_window
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.library import read_adapter
from phaseno_peft.picking import Picker

PICKING, CHANGING = 6, 2
"""Threads of each kind."""
_BATCH = 3
"""Windows of a mixed batch."""
_FRESH_EVERY = 200
"""Picks until a new picker begins, so that first loads in parallel are tried often too."""
_SWITCH_INTERVAL_S = 5e-5
_SILENCE_S = 60.0
"""Longer without a pick is a hang."""
_ALWAYS = NAMES[:2]
"""Adapters that are reloaded, never removed; the others come and go."""


def pick_attacks(subject: Subject, seed: int, count: int, stop_at: float) -> Iterator[tuple[int, AttackResult]]:
    """(number, result) of every pick."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(subject, seed, count, stop_at, there), daemon=True)
    process.start()
    there.close()
    number = 0
    try:
        while here.poll(_SILENCE_S):
            yield number, here.recv()
            number += 1
        yield number, AttackResult("hang", f"no pick in {_SILENCE_S:.0f} s")
    except EOFError:
        process.join()
        if process.exitcode:
            yield number, AttackResult("raw error", f"the process ended with {process.exitcode}")
    finally:
        if process.pid is not None and process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        process.join()


def _serve(subject: Subject, seed: int, count: int, stop_at: float, there: Connection) -> None:
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    right, done = _RightPicks(subject), 0
    while done < count and time.monotonic() < stop_at:
        share = min(_FRESH_EVERY, count - done)
        for result in _Round(subject, right, [seed, 4, done], share, stop_at).run():
            there.send(result)
            done += 1


def _key(picks: Any) -> tuple[Any, ...]:
    return tuple((p.trace_id, p.phase, p.time.ns, p.probability, p.uncertainty_s) for p in picks)


def _batch_logits(picker: Picker, subject: Subject, names: list[str | None]) -> list[torch.Tensor]:
    """Logits [station, phase, sample] of the subject's window, once with each adapter."""
    graph = StationGraph.stack([subject.graph] * len(names))
    with torch.inference_mode(), adapters_by_window(names):
        return list(picker.backbone(subject.waveforms.repeat(len(names), 1, 1), graph).chunk(len(names)))


class _RightPicks:
    """What each adapter, and the frozen backbone, gives where nothing else runs."""

    def __init__(self, subject: Subject) -> None:
        picker = Picker.load(subject.backbone)
        self.picks: dict[str, tuple[Any, ...]] = {}
        self.logits: dict[tuple[str | None, int], list[torch.Tensor]] = {}
        """(adapter, how many windows of it are in a batch) -> of each: their place among them decides the rounding."""
        for name in NAMES:
            picker.load_adapter(subject.adapters[name])
            picks = picker.classify(subject.stream, subject.stations)
            self.picks[picks.creator] = _key(picks)
        for choice in (*_ALWAYS, None):
            for n in range(1, _BATCH + 1):  # windows of one adapter go through together
                self.logits[choice, n] = _batch_logits(picker, subject, [choice] * n)
        if len(set(self.picks.values())) < len(self.picks):
            raise RuntimeError("two adapters of the subject give the same picks: mixing them would not show")


class _Round:
    """One picker from its first load on, until `count` picks were made."""

    def __init__(self, subject: Subject, right: _RightPicks, seed: list[int], count: int, stop_at: float) -> None:
        self.subject, self.right, self.seed, self.stop_at = subject, right, seed, stop_at
        self.picker = Picker.load(subject.backbone)
        self.stored = {name: read_adapter(folder) for name, folder in subject.adapters.items()}
        self.left = threading.Semaphore(count)
        self.results: queue.SimpleQueue[AttackResult | None] = queue.SimpleQueue()
        self.bad = self._bad_folder()
        self.picked = threading.Event()
        self.start = threading.Barrier(PICKING + CHANGING)

    def _bad_folder(self) -> Path:
        folder = self.subject.scratch / "bad" / NAMES[0]
        if not folder.exists():
            shutil.copytree(self.subject.adapters[NAMES[0]], folder)
            (folder / "adapter_model.safetensors").write_bytes(b"\0" * 100)
        return folder

    def run(self) -> Iterator[AttackResult]:
        """Verdicts as they come."""
        kinds = [self._pick] * PICKING + [self._change] * CHANGING
        threads = [
            threading.Thread(target=self._loop, args=(kind, np.random.default_rng([*self.seed, n])), daemon=True)
            for n, kind in enumerate(kinds)
        ]
        for thread in threads:
            thread.start()
        ended = 0
        while ended < len(threads):
            result = self.results.get()
            if result is None:
                ended += 1
                if ended == PICKING:
                    self.picked.set()
            else:
                yield result
        yield from self._whole()

    def _loop(self, act: Callable[[np.random.Generator], AttackResult | None], rng: np.random.Generator) -> None:
        try:
            self.start.wait()
            for name in rng.permutation(_ALWAYS):  # everybody loads first, at once
                self.picker.add_adapter(self.stored[str(name)])
            while not self.picked.is_set() and time.monotonic() < self.stop_at:
                if act == self._pick and not self.left.acquire(blocking=False):
                    return
                result = act(rng)
                if result is not None:
                    self.results.put(result)
        except Exception as error:  # what is looked for
            self.results.put(AttackResult("raw error", f"{act.__name__}: {type(error).__name__}: {error}"))
        finally:
            self.results.put(None)

    def _pick(self, rng: np.random.Generator) -> AttackResult:
        way = str(rng.choice(["using", "using", "set", "as it is", "batch"]))
        name = str(rng.choice(_ALWAYS if way == "batch" else NAMES))
        try:
            if way == "batch":
                return self._batch([None if rng.random() < 0.2 else str(rng.choice(_ALWAYS)) for _ in range(_BATCH)])
            if way == "set":
                self.picker.set_adapter(name)
            with self.picker.using(name) if way == "using" else contextlib.nullcontext():
                picks = self.picker.classify(self.subject.stream, self.subject.stations)
                inside = self.picker.active_adapter
        except PhasenoPeftError as error:
            if "not resident" in str(error):  # it was removed just now
                return AttackResult("refused", str(error))
            return AttackResult("raw error", f"{way} {name}: {error}")
        wanted = self.right.picks.get(picks.creator)
        if _key(picks) != wanted:
            others = [creator for creator, theirs in self.right.picks.items() if theirs == _key(picks)]
            return AttackResult(
                "mixed", f"{way} {name}: said to be of {picks.creator}, picks of {others or 'none of them'}"
            )
        if way == "using" and not name == inside == picks.creator:
            return AttackResult("mixed", f"using {name}: picks of {picks.creator}, {inside} in force")
        return AttackResult("identical")

    def _batch(self, names: list[str | None]) -> AttackResult:
        found = _batch_logits(self.picker, self.subject, names)
        wanted = [self.right.logits[name, names.count(name)][names[:n].count(name)] for n, name in enumerate(names)]
        wrong = [n for n, logits, right in zip(names, found, wanted, strict=True) if not torch.equal(logits, right)]
        return AttackResult("mixed", f"a batch of {names}: wrong for {wrong}") if wrong else AttackResult("identical")

    def _change(self, rng: np.random.Generator) -> AttackResult | None:
        """Loads, reloads, removals, switches; a refusal of what others have just done is as it should be."""
        name = str(rng.choice(NAMES))
        with contextlib.suppress(PhasenoPeftError):
            kind = int(rng.integers(5))
            if kind == 0:
                self.picker.add_adapter(self.stored[name], activate=bool(rng.random() < 0.5))
            elif kind == 1:
                self.picker.load_adapter(self.subject.adapters[name], activate=False)
            elif kind == 2:
                self.picker.set_adapter(name)
            elif kind == 3 and name not in _ALWAYS:
                self.picker.remove_adapter(name)
            elif kind == 4:
                self.picker.load_adapter(self.bad)
                return AttackResult("other result", "an adapter without tensors was loaded")
        time.sleep(0.002)
        return None

    def _whole(self) -> Iterator[AttackResult]:
        """What is resident at the end, alone: each gives its own picks."""
        for name in self.picker.adapters:
            with self.picker.using(name):
                picks = self.picker.classify(self.subject.stream, self.subject.stations)
            if picks.creator != name or _key(picks) != self.right.picks[name]:
                yield AttackResult("resident in part", f"{name}, after all threads had ended")
