"""The table of formats: files of other people's programs are read, or refused in one sentence."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path

from benchmarks.formats import outcome


def test_files_of_other_programs_are_read_or_refused_with_a_next_step(shared: Path) -> None:
    folder = shared / "data" / "formats"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcomes = [outcome(path, folder) for path in sorted(folder.glob("*/*"))]
    assert [o.words for o in outcomes if o.broken] == []
    refused = {o.file.split("/")[0] for o in outcomes if not o.read}
    # events without picks, a pickle, damaged GSE2, a text beside SEG2; catalogues without picks, empty inventories
    without_parquet = set() if find_spec("pyarrow") else {"csv_picks"}
    assert refused == without_parquet | {
        *("excel_picks", "manupick", "gse2_waveform", "seg2"),
        *("nlloc", "quakeml", "scml", "stationxml"),
    }
    assert len([o for o in outcomes if o.read]) == 43 - 2 * len(without_parquet)


def test_a_refusal_is_the_sentence_of_the_reader_that_knows_the_file(tmp_path: Path) -> None:
    table = tmp_path / "made" / "table.parquet"
    table.parent.mkdir()
    table.write_bytes(b"PAR1 and so on")
    assert outcome(table, tmp_path).words.startswith("refused: table.parquet: ")
    assert "Parquet" in outcome(table, tmp_path).words
