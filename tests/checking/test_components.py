"""Components that go against the way from the source are told, and directions by chance are not."""

from __future__ import annotations

import re

import numpy as np
import pytest

from phaseno_peft.checking.components import Polarisation, _of_station, component_findings


def station(code: str, turn_deg: float | None, n: int, rng: np.random.Generator) -> Polarisation:
    """A station whose horizontals are turned by so much against the way from the source; None: at random."""
    way = rng.uniform(0, 2 * np.pi, n)
    moved = rng.uniform(0, 2 * np.pi, n) if turn_deg is None else way - np.radians(turn_deg) + rng.normal(0, 0.1, n)
    pairs = [
        (np.array([np.sin(m), np.cos(m)]), np.array([np.sin(w), np.cos(w)])) for m, w in zip(moved, way, strict=True)
    ]
    return _of_station(f"XX.{code}.", pairs, [])


@pytest.mark.parametrize("n", [5, 6, 8, 12, 30])
def test_directions_at_random_are_rarely_told(n: int) -> None:
    rng = np.random.default_rng(n)
    good = [station(code, 0.0, 20, rng) for code in "ABCDE"]
    told = sum(bool(component_findings([*good, station("R", None, n, rng)], "x")) for _ in range(400))
    assert told <= 12  # 3 %; without the bound 16 % of five events


@pytest.mark.parametrize(
    ("turn_deg", "what"), [(180.0, "vertical reversed"), (100.0, r"horizontals turned by about (9[4-9]|10[0-6]) ")]
)
def test_what_is_wrong_in_eight_events_is_told(turn_deg: float, what: str) -> None:
    rng = np.random.default_rng(1)
    good = [station(code, 0.0, 20, rng) for code in "ABCDE"]
    (found,) = component_findings([*good, station("W", turn_deg, 8, rng)], "x")
    assert re.match(rf"XX\.W\.: {what}", found.text)  # the angle is fitted to eight events of some noise
