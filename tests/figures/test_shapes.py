"""Drawings say the same as SVG for a page, as SVG file and as PNG."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from phaseno_peft.figures.lanes import Lanes, Mark, draw_lanes
from phaseno_peft.figures.shapes import SCALE, Drawing
from phaseno_peft.report import INK, WARN_INK
from tests.evaluation.handmade_windows import probability, window


def read_path(d: str) -> list[tuple[int, int]]:
    """Points of a path of "M x y" and relative "l dx dy ..." as browsers read it."""
    points: list[tuple[int, int]] = []
    for move in d.split("M")[1:]:
        start, _, steps = move.partition("l")
        x, y = map(int, start.split())
        points.append((x, y))
        numbers = [int(n) for n in re.findall(r"-?\d+", steps)]
        for dx, dy in zip(numbers[::2], numbers[1::2], strict=True):
            x, y = x + dx, y + dy
            points.append((x, y))
    return points


def test_a_path_holds_every_point_to_a_fifth_of_a_pixel() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 300, (50, 2))
    points[[10, 20, 21]] = np.nan
    drawing = Drawing(300, 300)
    drawing.line(points)
    (d,) = re.findall(r'<path d="([^"]+)"', drawing.svg("random"))
    kept = points[np.isfinite(points).all(axis=1)]
    assert np.array(read_path(d)) / SCALE == pytest.approx(kept, abs=0.5 / SCALE + 1e-9)
    assert d.count("M") == 3


def test_a_drawing_takes_the_page_s_colours_and_a_file_its_own(tmp_path: Path) -> None:
    drawing = Drawing(200, 100)
    drawing.line([(0, 50), (200, 50)], INK, 2.0, "6 4")
    for k, kind in enumerate(("up", "down", "diamond", "ring", "cross")):
        drawing.mark(kind, 20 + 40 * k, 30, 8, WARN_INK)
    drawing.text(100, 80, "P < S & $x$", anchor="middle")
    page, file = drawing.svg("a & b"), drawing.svg("a & b", is_file=True)
    assert "var(--ink)" in page
    assert INK not in page
    assert "var(" not in file
    assert "P &lt; S &amp; $x$" in page
    assert 'aria-label="a &amp; b"' in page
    pixels = matplotlib.image.imread(drawing.png(tmp_path / "a.png"))[..., :3]
    assert pixels.shape[0] * 2 == pixels.shape[1]
    assert np.count_nonzero(pixels.min(axis=-1) < 0.9) > 500
    ring = pixels[int(0.3 * pixels.shape[0]), int(0.7 * pixels.shape[1])]
    assert ring.min() > 0.99  # a ring is hollow


def test_a_record_section_shows_its_marks_and_their_surroundings_only() -> None:
    w = window({(0, "P"): [300], (1, "S"): [500]})
    w.waveforms[:] = np.random.default_rng(0).standard_normal(w.waveforms.shape)
    kinds = ("label", "pick", "other pick", "false", "missed", "not judged")
    marks = [Mark(0, "P", kind, 300.0 + 10 * k) for k, kind in enumerate(kinds)]  # type: ignore[arg-type]  # all kinds
    drawn = draw_lanes(Lanes(w, marks, [1, 0], {0: "XX.S0\n3.0 km", 1: "XX.S1"}, probability({(0, "P"): [300]})))
    assert [kind for kind, *_ in drawn.marks] == ["up", "down", "up", "cross", "ring", "up"]
    texts = [text for _, _, text, *_ in drawn.texts]
    assert texts.index("XX.S1") < texts.index("XX.S0")
    assert "3.0 km" in texts
    assert "seconds after 1970-01-01 00:00:00.00 UTC" in texts
    seconds = [float(text) for text in texts if re.fullmatch(r"[\d.]+", text)]
    assert min(seconds) < 3.0 < max(seconds) < 8.0  # of ten
    silent = draw_lanes(Lanes(window(is_noise=True), [], [0], {0: "XX.S0"}))
    assert not silent.marks
