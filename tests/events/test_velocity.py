"""Velocity models: layers of files, what cannot be is refused in a sentence, and a half-space from picks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from phaseno_peft.campaign import Catalogue
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.events import HalfSpace, Layers, fit_half_space, read_velocity
from phaseno_peft.events.from_picks import catalogue_events
from tests.events.arrivals import VP, VS, events, table

CSV = "depth_km,vp_km_s,vs_km_s\n0,3.0,1.6\n2,5.0,2.9\n"
NONLINLOC = """# a control file
CONTROL 1 54321
LAYER  -2.0  3.0  0.0  1.6  0.0  2.5 0.0
LAYER   2.0  5.0  0.5  2.9  0.25 2.7 0.0
LAYER   4.0  6.0  0.0  3.4  0.0  2.8 0.0
"""
TVEL = "model - P\nmodel - S\n0.0 3.0 1.6 2.5\n2.0 3.0 1.6 2.5\n2.0 5.0 2.9 2.7\n40.0 5.0 2.9 2.7\n40.0 8.0 4.5 3.3\n"


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "text", "tops", "vp"),
    [
        ("layers.csv", CSV, [0.0, 2.0], [3.0, 5.0]),
        ("layers.in", NONLINLOC, [0.0, 2.0, 3.0, 4.0], [3.0, 5.25, 5.75, 6.0]),
        ("layers.tvel", TVEL, [0.0, 2.0, 40.0], [3.0, 5.0, 8.0]),
        ("hash.tvel", TVEL.replace(TVEL.splitlines()[0], "# one", 1), [0.0, 2.0, 40.0], [3.0, 5.0, 8.0]),
        ("layers.nd", "0 3 1.6 2.5\n2 3 1.6 2.5\nmantle\n2 5 2.9 2.7\n", [0.0, 2.0], [3.0, 5.0]),
    ],
)
def test_files_of_layers_are_read(tmp_path: Path, name: str, text: str, tops: list[float], vp: list[float]) -> None:
    made = read_velocity(written(tmp_path, name, text))
    assert list(made.top_km) == tops
    assert list(made.vp_km_s) == pytest.approx(vp)
    assert all(s < p for p, s in zip(made.vp_km_s, made.vs_km_s, strict=True))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "depth_km,vp_km_s,vs_km_s\n0,3.0,1.6\n2,2.9,5.0\n", r"a.csv: layer 2 \(from 2 km\).*S would come"),
        ("a.csv", "depth_km,vp_km_s,vs_km_s\n0,3000,1600\n", "Give km/s, not m/s"),
        ("a.csv", "depth_km,vp_km_s,vs_km_s\n0,1.5,0\n", "Layers of water carry no S"),
        ("a.csv", "depth_km,vp_km_s,vs_km_s\n1,3,1.5\n", "should begin at 0 km"),
        ("a.csv", "depth_km,vp_km_s,vs_km_s\n0,3,1.5\n5,4,2\n2,5,3\n", "does not lie below the layer before it"),
        ("a.csv", "depth_km,vp_km_s,vs_km_s\n0,fast,1.5\n", "line 2: 'fast' is no number"),
        ("a.csv", "depth_km,vp_km_s,vs_km_s\n", "holds no layer"),
        ("a.csv", "depth,vp,vs\n0,3,1.5\n", "line 1 lacks the column 'depth_km'"),
        (
            "a.csv",
            "depth_km,vp_km_s,vs_km_s\n0,4.5,2.5\n2000,5.8,3.3\n10000,6.2,3.6\n",
            "begins at 10000 km. Give depths in km",
        ),
        ("a.csv", "depth_km,vp_km_s,vs_km_s\n0,4.5,2.5\nnan,5.8,3.3\n", "begins at nan km"),
        ("a.csv", f"depth_km,vp_km_s,vs_km_s\n0,4.5,{'2' * 200_000}\n", "line 2: field larger"),
        ("a.in", "LAYER -inf 5.0 0.1 3.0 0.1 2.5 0\nLAYER 2 6 0 3.5 0 2.6 0\n", "begins at -inf km"),
        ("a.in", "LAYER 0.0 5.0\n", "line 1: LAYER needs depth, Vp, VpGrad, Vs and VsGrad"),
        ("a.tvel", "one\ntwo\n0.0 5.0\n", "line 3: needs depth, Vp and Vs"),
    ],
)
def test_a_model_that_cannot_be_is_refused_by_layer_and_value(tmp_path: Path, name: str, text: str, words: str) -> None:
    with pytest.raises(PhasenoPeftError, match=words):
        read_velocity(written(tmp_path, name, text))


def test_a_half_space_with_s_before_p_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PhasenoPeftError, match="S would come before P"):
        HalfSpace(3.0, 3.0)
    with pytest.raises(PhasenoPeftError, match=r"nowhere.csv: cannot be read as a velocity model"):
        read_velocity(tmp_path / "nowhere.csv")


def test_times_in_layers_are_those_of_rays() -> None:
    model = Layers((0.0, 10.0), (5.0, 8.0), (2.9, 4.6))
    x, z = np.array([3.0, 100.0]), np.array([4.0])
    near, far = model.travel_times_s("P", x, z)[:, 0]
    assert near == pytest.approx(1.0)  # 3, 4, 5 km: straight, at 5 km/s
    # along the interface at 8 km/s; a layer's delay is its thickness times sqrt(1/5^2 - 1/8^2), here of 6 and 10 km
    assert far == pytest.approx(100.0 / 8.0 + 16.0 * np.sqrt(1 / 25 - 1 / 64))


def test_a_half_space_is_found_from_picks_alone() -> None:
    listed = Catalogue(tuple(catalogue_events(events(10))), "by hand")
    found = fit_half_space(listed, table())
    assert found.vp_km_s == pytest.approx(VP, abs=0.3)
    assert found.vp_km_s / found.vs_km_s == pytest.approx(VP / VS, abs=0.03)
    assert found.source == "half-space fitted to by hand"


def test_a_catalogue_without_picks_enough_is_refused() -> None:
    few = Catalogue(tuple(catalogue_events(events(3, codes="AB"))), "by hand")
    with pytest.raises(PhasenoPeftError, match="by hand: no event has six usable picks on four stations"):
        fit_half_space(few, table())
