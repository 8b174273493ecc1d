"""Where noise comes from: between events, before them, or times in a file; and a campaign's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from phaseno_peft.campaign import read_catalogue
from phaseno_peft.campaign.campaign_folder import parts_of_campaign
from phaseno_peft.campaign.noise_times import common_times, noise_times
from phaseno_peft.errors import CampaignError
from tests.campaign.synthetic_network import T0, catalog, network_picks

EVENTS = read_catalogue(catalog([network_picks(T0 + 100), network_picks(T0 + 120), network_picks(T0 + 500)])).events


def seconds(times: object) -> list[tuple[float, float]]:
    assert isinstance(times, tuple)
    return [(round((a - T0.ns) * 1e-9, 3), round((b - T0.ns) * 1e-9, 3)) for a, b in times]


def test_the_minute_before_each_event_is_noise_and_pieces_that_overlap_are_one() -> None:
    first = min(p.time for p in EVENTS[0].picks) - T0
    found = seconds(noise_times("before", EVENTS))
    assert found == [(first - 60, first + 15), (first + 340, first + 395)]
    assert noise_times("between", EVENTS) is None


def test_times_are_read_from_a_file_and_given_in_python(tmp_path: Path) -> None:
    file = tmp_path / "noise.csv"
    file.write_text(f"start,end\n# night\n{T0 + 10},{T0 + 30}\n\n{T0 + 50}, {T0 + 60}\n")
    assert seconds(noise_times(file, ())) == [(10.0, 30.0), (50.0, 60.0)]
    assert noise_times([(T0 + 10, T0 + 30), (T0 + 50, T0 + 60)], ()) == noise_times(str(file), ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2020-01-01T00:00:10\n", r"noise\.csv: line 1: should be start,end but has 1 cells"),
        ("start,end\nyesterday,today\n", r"noise\.csv: line 2: 'yesterday', 'today' are no two times"),
        ("2020-01-02,2020-01-01\n", r"line 1: ends at 2020-01-01, before it begins"),
        ("start,end\n", r"noise\.csv: holds no piece of time"),
        ('"' + "x" * 200_000, r"not a table"),
    ],
)
def test_a_broken_file_of_times_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "noise.csv"
    file.write_text(text)
    with pytest.raises(CampaignError, match=message):
        noise_times(file, ())
    with pytest.raises(CampaignError, match="is neither 'between', 'before' or 'quiet' nor a readable CSV"):
        noise_times("betwixt", ())


def test_what_two_choices_share_is_left() -> None:
    assert common_times(((0, 10), (20, 30)), ((5, 25),)) == ((5, 10), (20, 25))
    assert common_times(None, ((5, 25),)) == ((5, 25),)


def test_a_campaigns_folder_holds_its_three_parts(tmp_path: Path) -> None:
    (tmp_path / "waveforms").mkdir()
    (tmp_path / "stations.xml").touch()
    with pytest.raises(CampaignError, match="holds nothing called picks"):
        parts_of_campaign(tmp_path)
    (tmp_path / "picks.csv").touch()
    assert parts_of_campaign(tmp_path) == tuple(tmp_path / part for part in ("waveforms", "stations.xml", "picks.csv"))
    (tmp_path / "picks.xml").touch()
    with pytest.raises(CampaignError, match="holds 2 files called picks"):
        parts_of_campaign(tmp_path)
    with pytest.raises(CampaignError, match="no such folder"):
        parts_of_campaign(tmp_path / "nowhere")
