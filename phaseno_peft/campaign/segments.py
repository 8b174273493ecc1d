"""Runs of raw samples without a gap, and how the pieces of one channel become such runs.

A piece may be an array or samples that are read when they are needed: only its start, rate and length decide.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

SAME_RATE = 1e-5
"""Relative difference of rates that headers of one clock may show."""


@dataclass(slots=True, eq=False)
class Segment:
    """A gap-free run of raw samples. `start_ns` is the time of sample 0 in nanoseconds since 1970."""

    start_ns: int
    rate_hz: float
    samples: Any
    """[sample], an array or anything else with a length that can be sliced."""

    @property
    def end_ns(self) -> int:
        """Time of one sample after the last."""
        return self.start_ns + round(len(self.samples) * 1e9 / self.rate_hz)


@dataclass(slots=True, eq=False)
class Chain:
    """Pieces of one channel that follow each other within half a sample; the first one's clock counts."""

    start_ns: int
    rate_hz: float
    kept: list[tuple[int, Any]] = field(default_factory=list)
    """(position in the chain, samples), one after the other without a hole."""
    covered: list[tuple[int, Any]] = field(default_factory=list)
    """(position in the chain, samples) of what lies where others were first; it is not used."""
    other_rate_s: float = 0.0
    """Length of what lies there at another sampling rate."""
    length: int = 0

    def __len__(self) -> int:
        return self.length

    def append(self, samples: Any) -> None:
        """Put samples at the end."""
        self.kept.append((self.length, samples))
        self.length += len(samples)


def join(pieces: Iterable[Segment]) -> list[Chain]:
    """Chains of the pieces of one channel, in time order; no sample is invented.

    Where pieces overlap, the one that starts first stays, of those that start together the longest, then the one given
    first. Pieces that follow within half a sample and share the rate are joined (the tolerance of libmseed), counted
    from the first one's clock.
    """
    chains: list[Chain] = []
    for piece in sorted(pieces, key=lambda s: (s.start_ns, -len(s.samples))):
        start_ns, samples = piece.start_ns, piece.samples
        if chains:
            chain = chains[-1]
            late = (start_ns - chain.start_ns) * 1e-9 * chain.rate_hz - chain.length  # samples after the chain's end
            if abs(piece.rate_hz / chain.rate_hz - 1.0) <= SAME_RATE:
                skip = max(0, round(-late))
                if skip:
                    chain.covered.append((chain.length - skip, samples[:skip]))
                if skip >= len(samples):
                    continue
                if abs(late + skip) <= 0.5:
                    chain.append(samples[skip:])
                    continue
            elif late < 0:
                skip = math.ceil(-late / chain.rate_hz * piece.rate_hz)
                chain.other_rate_s += min(skip, len(samples)) / piece.rate_hz
                if skip >= len(samples):
                    continue
                start_ns += round(skip * 1e9 / piece.rate_hz)
                samples = samples[skip:]
        chains.append(Chain(start_ns, piece.rate_hz))
        chains[-1].append(samples)
    return chains
