"""A labelled set and an archive of a minute or two, written as SeisBench and as a company write theirs."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from obspy import UTCDateTime

from phaseno_peft.picks import Pick, PickList
from phaseno_peft.pretraining import PretrainingSettings
from phaseno_peft.simulation import simulate_network_windows

RECORD_SAMPLES = 4500
LEAN = PretrainingSettings(
    batch_stations=3, most_stations=3, warmup_steps=2, judge_every=4, judged_windows=3, average_decay=0.5
)


def write_labelled(folder: Path, records: int = 20, **columns: list[object]) -> Path:
    """A set of simulated single-station records of 45 s in SeisBench's format; the last two are of the dev split."""
    h5py = pytest.importorskip("h5py", reason="needs h5py, the extra `datasets`")
    folder.mkdir(parents=True)
    rows = []
    with h5py.File(folder / "waveforms.hdf5", "w") as file:
        file["data_format/component_order"] = "ZNE"
        file["data_format/sampling_rate"] = 100.0
        rng = np.random.default_rng(1)
        while len(rows) < records:
            made = simulate_network_windows(rng, None, 1, stations=1, samples=RECORD_SAMPLES)
            onsets = made.onset_samples[0][:, 0]
            whole = onsets[np.isfinite(onsets).all(axis=1)]
            if not len(whole):
                continue
            name = f"record-{len(rows):02d}"
            file[f"data/{name}"] = made.waveforms[0, 0][::-1]
            p, s = whole[0]
            row = {"trace_name": name, "trace_sampling_rate_hz": 100.0, "trace_npts": RECORD_SAMPLES}
            row |= {"trace_p_arrival_sample": round(p, 1), "trace_s_arrival_sample": round(s, 1)}
            rows.append(row | {"split": "train" if len(rows) < records - 2 else "dev"})
    for name, values in columns.items():
        for row, value in zip(rows, values, strict=False):
            row[name] = value
    with (folder / "metadata.csv").open("w", newline="") as text:
        table = csv.DictWriter(text, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return folder


@pytest.fixture(scope="session")
def labelled_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_labelled(tmp_path_factory.mktemp("labelled") / "records")


@pytest.fixture(scope="session")
def archive_folder(tmp_path_factory: pytest.TempPathFactory, campaign_folder: Path) -> Path:
    """Two minutes of five stations at 250 Hz; picks.csv holds the true onsets above a signal-to-noise ratio of 1."""
    folder = tmp_path_factory.mktemp("archive") / "ohio-continuous"
    (folder / "waveforms").mkdir(parents=True)
    for file in (campaign_folder / "continuous").glob("*.mseed"):
        shutil.copy(file, folder / "waveforms")
    shutil.copy(campaign_folder / "stations.xml", folder)
    picks = PickList(creator="truth")
    with (campaign_folder / "continuous" / "truth.csv").open() as text:
        for row in csv.DictReader(text):
            if float(row["snr"]) > 1:
                time = UTCDateTime(row["onset_time"])
                picks.append(
                    Pick(trace_id=row["station"], phase=row["phase"], time=time, probability=0.9, uncertainty_s=0.02)
                )
    picks.to_csv(folder / "picks.csv")
    return folder


@pytest.fixture
def lean() -> PretrainingSettings:
    return LEAN
