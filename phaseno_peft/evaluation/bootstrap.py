"""The bootstrap behind every interval: groups (events) drawn with replacement, the same ones for every model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

BOOTSTRAP_DRAWS = 1000


def bootstrap_draws(counts: NDArray[Any], groups: Sequence[int], seed: int) -> NDArray[np.float64]:
    """Return counts [draw, ...] summed over groups drawn with replacement, from counts [row, ...] and groups [row]."""
    numbers = np.array(groups, dtype=np.int64)
    n_groups = int(numbers.max(initial=-1)) + 1
    if n_groups == 0:
        return np.zeros((BOOTSTRAP_DRAWS, *counts.shape[1:]))
    of_group = np.zeros((n_groups, *counts.shape[1:]))
    np.add.at(of_group, numbers, counts)
    return np.tensordot(_times_drawn(n_groups, seed), of_group, axes=1)


@lru_cache(maxsize=2)
def _times_drawn(n_groups: int, seed: int) -> NDArray[np.float64]:
    """[draw, group] how often a group is drawn; a report asks for the same draws a hundred times."""
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(n_groups, np.full(n_groups, 1.0 / n_groups), size=BOOTSTRAP_DRAWS).astype(np.float64)
    draws.setflags(write=False)
    return draws


def interval_of_draws(draws: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % interval of draws [draw]."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)
