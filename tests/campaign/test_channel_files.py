"""Channel maps in YAML, polarity, and folders in folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from obspy import Stream, Trace
from typer.testing import CliRunner

from phaseno_peft.campaign import read_waveforms
from phaseno_peft.campaign.channel_files import first_channel_map, pairs_of_yaml
from phaseno_peft.campaign.sources import Index
from phaseno_peft.cli.app import app
from phaseno_peft.errors import CampaignError
from tests.campaign.synthetic_network import T0, trace

SAMPLES = np.arange(1, 501, dtype=np.float32)


def shot(path: Path, n: int = 3, format_name: str = "SEGY") -> Path:
    """Traces without codes, the first with the first sample 1, the next with 1001, ..."""
    stream = Stream()
    for i in range(n):
        stream += Trace(SAMPLES + 1000 * i, {"starttime": T0, "delta": 0.002})
    stream.write(str(path), format=format_name)
    return path


def test_a_first_map_lists_every_trace_and_cannot_be_used_before_it_is_filled_in(tmp_path) -> None:
    path = tmp_path / "channels.yaml"
    done = CliRunner().invoke(app, ["channels", str(shot(tmp_path / "a.sgy")), "--out", str(path)])
    assert done.exit_code == 0, done.output
    entries = yaml.safe_load(path.read_text())
    assert entries == [{"trace": i, "station": None, "component": None, "polarity": 1} for i in (1, 2, 3)]
    assert "500 samples, 500 Hz, from 2020-01-01T00:00:00" in path.read_text()
    with pytest.raises(CampaignError, match=r"channels\.yaml: entry 1 has no component\. Fill it in"):
        read_waveforms(tmp_path / "a.sgy", path)
    again = CliRunner().invoke(app, ["channels", str(tmp_path / "a.sgy"), "--out", str(path)])
    assert again.exit_code != 0
    # Files with codes are listed by them, with the component where the code says it.
    text = first_channel_map(Stream([trace("S0", "HHZ", SAMPLES), trace("S0", "HH1", SAMPLES)]))
    assert [(e["code"], e["component"]) for e in yaml.safe_load(text)] == [("XX.S0..HHZ", "Z"), ("XX.S0..HH1", None)]


@pytest.mark.parametrize("format_name", ["SEGY", "SU"])
def test_a_filled_map_gives_codes_and_turns_reversed_traces_round(tmp_path, format_name: str) -> None:
    (tmp_path / "map.yaml").write_text(
        "- {trace: 1, station: 001, component: Z, polarity: -1}\n"
        "- {trace: 3, station: NO.AAA.00, component: GPN}\n"
        "- {trace: 2, station: '001', component: N, polarity: 1}\n"
    )
    path = shot(tmp_path / "a.seis", format_name=format_name)
    (stream,) = read_waveforms(path, tmp_path / "map.yaml").values()
    assert [(t.id, float(t.data[0])) for t in stream] == [
        (".001..Z", -1.0),
        (".001..N", 1001.0),
        ("NO.AAA.00.GPN", 2001.0),
    ]
    # The way of `pick`, which reads headers first and samples later.
    index = Index(path, 100.0, channels=tmp_path / "map.yaml")
    read = {h.seed_id: index.read(h.places)[0] for h in index.headers}
    assert {seed_id: float(samples[0]) for seed_id, samples in read.items()} == {t.id: float(t.data[0]) for t in stream}


def test_a_code_may_be_turned_round_too(tmp_path) -> None:
    Stream([trace("S0", "EH0", SAMPLES), trace("S0", "EH1", SAMPLES)]).write(str(tmp_path / "a.mseed"), "MSEED")
    (stream,) = read_waveforms(tmp_path / "a.mseed", "EH0=-Z,EH1=N").values()
    assert {t.stats.channel: float(t.data[0]) for t in stream} == {"EHZ": -1.0, "EHN": 1.0}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trace: 1", r"is no list of channels"),
        ("- {trace: 1, station: A, component: [Z]}", r"entry 1 is not like"),
        ("- {trace: 1, code: EH1, component: Z}", r"entry 1 is not like"),
        ("- {code: EH0, component: Z}\n- {trace: 1, component: Z}", r"entry 2 has no station"),
        ("- {trace: 1, station: A, component: Z, polarity: 2}", r"entry 1: `polarity` should be 1 or -1 but is '2'"),
        ("- {trace: 1, station: A, component: X}", r"1=A\.X does not say Z, N or E"),
        ("- {trace: [", r"cannot be read as YAML"),
        ("[" * 100_000, r"line 1 has more than 10 brackets in each other"),
        ("- &a [x]\n- {trace: 1, station: *a, component: Z}", r"entry 1 is not like"),
        ("- !!python/object/apply:os.system ['echo']", r"entry 1 is not like"),
    ],
)
def test_a_broken_map_is_named_by_its_entry(tmp_path, text: str, said: str) -> None:
    (tmp_path / "map.yaml").write_text(text)
    with pytest.raises(CampaignError, match=said):
        read_waveforms(shot(tmp_path / "a.sgy"), tmp_path / "map.yaml")


def test_entities_of_yaml_do_not_grow(tmp_path) -> None:
    levels = "\n".join(f"  a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))
    (tmp_path / "map.yaml").write_text(f"- trace: 1\n  a0: &a0 [x]\n{levels}\n")
    with pytest.raises(CampaignError, match="entry 1 is not like"):
        pairs_of_yaml(tmp_path / "map.yaml")


def test_an_sds_tree_is_read_with_what_lies_beside_passed_over(tmp_path) -> None:
    for station in ("S0", "S1"):
        for component in "ZNE":
            folder = tmp_path / "2020" / "XX" / station / f"HH{component}.D"
            folder.mkdir(parents=True)
            for day in (1, 2):
                one = trace(station, f"HH{component}", SAMPLES)
                one.stats.starttime = T0 + 86400 * (day - 1)
                Stream([one]).write(str(folder / f"XX.{station}..HH{component}.D.2020.{day:03d}"), "MSEED")
    (tmp_path / "2020" / "notes.txt").write_text("about the data")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "x.mseed").write_text("hidden")
    streams = read_waveforms(tmp_path)
    assert sum(len(stream) for stream in streams.values()) == 12
    index = Index(tmp_path, 100.0)
    assert sorted({h.seed_id for h in index.headers}) == sorted(f"XX.{s}..HH{c}" for s in ("S0", "S1") for c in "ZNE")
    assert len(index.headers) == 12
