"""Text tables that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from phaseno_peft.campaign import read_catalogue, read_stations
from phaseno_peft.errors import CampaignError, PhasenoPeftError
from phaseno_peft.picks import PickList

_UNCLOSED = '"' + "x" * 140_000
"""More than a field may have: what an unclosed quote makes of the rest of a file."""


def test_an_unclosed_quote_in_a_table_of_picks_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "picks.csv").write_text(f"station,phase,time\nAAA,P,2024-01-01T00:00:00\n{_UNCLOSED}\n")
    with pytest.raises(CampaignError, match=r"picks\.csv: line 3: not a table .* Check it for a stray quote"):
        read_catalogue(tmp_path / "picks.csv")


def test_an_unclosed_quote_in_a_table_of_stations_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "stations.csv").write_text(f"network,station,latitude,longitude\nXX,AAA,1,2\n{_UNCLOSED}\n")
    with pytest.raises(CampaignError, match=r"stations\.csv: line 3: not a table"):
        read_stations(tmp_path / "stations.csv")


def test_an_unclosed_quote_in_our_own_list_of_picks_is_refused(tmp_path: Path) -> None:
    (tmp_path / "picks.csv").write_text(f"trace_id,phase,time,probability,uncertainty_s\n{_UNCLOSED}\n")
    with pytest.raises(PhasenoPeftError, match=r"picks\.csv: line \d+: not a table"):
        PickList.from_csv(tmp_path / "picks.csv")


def test_a_first_line_without_end_is_no_header(tmp_path: Path) -> None:
    (tmp_path / "picks.txt").write_text("x" * 200_000)
    with pytest.raises(CampaignError, match=r"picks\.txt"):
        read_catalogue(tmp_path / "picks.txt")


def test_a_quote_that_swallows_rows_is_named_with_the_line_it_opens_on(tmp_path: Path) -> None:
    rows = ['"AAA,P,2024-01-01T00:00:00', "BBB,P,2024-01-01T00:00:01", '"CCC,P,2024-01-01T00:00:02']
    (tmp_path / "picks.csv").write_text("\n".join(["station,phase,time", "ZZZ,P,2024-01-01T00:00:00", *rows]))
    said = r"picks\.csv: line 3: not a table \(a quote opens there and closes 2 lines later\)"
    with pytest.raises(CampaignError, match=said):
        read_catalogue(tmp_path / "picks.csv")
    ours = ['"XX.AAA.,P,2024-01-01T00:00:00,0.9,0.1', 'XX.BBB.",P,2024-01-01T00:00:01,0.9,0.1']
    (tmp_path / "own.csv").write_text("\n".join(["station,phase,time,probability,uncertainty_s", *ours]))
    with pytest.raises(PhasenoPeftError, match=r"own\.csv: line 3: station should be NET\.STA\.LOC"):
        PickList.from_csv(tmp_path / "own.csv")
