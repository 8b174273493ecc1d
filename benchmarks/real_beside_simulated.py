"""Real campaigns beside simulated ones of the same geometry: numbers to compare, pictures to look at.

    python -m benchmarks.real_beside_simulated DATA [DATA ...] --out figures [--events 24] [--seed 0]

Each DATA is the folder of a picked campaign: `waveforms/`, `stations.xml`, `picks.xml`. For each one a twin is
simulated on its stations, with hypocentres in the box of the catalogue's, once with simulated noise and once with the
noise before the real events where there is enough of it; the presets stand beside them. All go through
the same reading (campaign-v1: 100 Hz, causal high-pass at 1 Hz), and picks are moved by the campaign's median offset
from the onsets, as the project measures it. Nothing recorded is kept but pictures and numbers.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from phaseno_peft.campaign import Campaign
from phaseno_peft.campaign.labels import measure_label_offset
from phaseno_peft.figures.style import legend_outside, new_figure, plain, save, style
from phaseno_peft.simulation import PRESETS, LayeredModel, Preset, simulate_campaign
from phaseno_peft.simulation.instruments import Geophone
from phaseno_peft.simulation.noise import NoiseModel
from phaseno_peft.text_tables import TextTable

Floats = NDArray[np.float64]
RATE = 100.0
CRUST = LayeredModel(
    top_km=(0.0, 0.02, 0.5, 2.0, 5.0, 10.0),
    vp_km_s=(1.8, 3.6, 4.6, 5.4, 5.9, 6.4),
    vs_km_s=(0.8, 2.0, 2.6, 3.1, 3.4, 3.7),
    density_kg_m3=(1900.0, 2350.0, 2500.0, 2600.0, 2700.0, 2800.0),
    qp=(25.0, 60.0, 120.0, 200.0, 300.0, 400.0),
    qs=(20.0, 50.0, 100.0, 160.0, 240.0, 320.0),
)
"""Of hard rock below a thin weathered layer: nobody's in particular."""
COLOURS = {"noise": "0.5", "P": "#0072B2", "S": "#D55E00"}


@dataclass(frozen=True)
class Ground:
    """What a twin is told of the real ground; everything else is the simulator's own."""

    stress_drop_mpa: float = 3.0
    kappa_s: float = 0.006
    scattering: float = 10.0


GROUND = {"iceland-vt": Ground(kappa_s=0.004, scattering=80.0), "samba-nz": Ground(stress_drop_mpa=15.0, kappa_s=0.001)}
"""A volcano scatters strongly; the Alpine Fault's stations stand on hard schist."""


@dataclass(frozen=True)
class Record:
    """One station's record of one event, with both onsets."""

    name: str
    samples: Floats
    """[component (E, N, Z), sample]"""
    p: int
    s: int


def records_of(campaign: Campaign) -> list[Record]:
    """Three-component records with P and S picked and nothing else within 6 s before, onsets from the picks."""
    offset = measure_label_offset(campaign.stretches())
    shift = {phase: offset[phase].median_s or 0.0 for phase in "PS"}
    found = []
    for stretch in campaign.stretches():
        recording = stretch.recording
        for i, station in enumerate(recording.station_ids):
            at = sorted((recording.index_of(k.time + shift[k.phase]), k.phase) for k in stretch.picks
                        if k.station_id == station and k.usable)  # fmt: skip
            for (p, first), (s, second) in itertools.pairwise(at):
                if (first, second) != ("P", "S") or not 40 < s - p < 800 or any(p - 600 < o < p for o, _ in at):
                    continue
                a, b = int(p) - 600, int(s) + 700
                if a >= 0 and b <= recording.n_samples and np.all(recording.recorded[i, :, a:b]):
                    x = recording.samples[i, :, a:b].astype(np.float64)
                    found.append(Record(f"{recording.name} {station}", x, 600, 600 + int(s - p)))
    return found


def rms(x: Floats) -> float:
    return float(np.sqrt(np.mean(x**2))) if x.size else np.nan


def spectrum(x: Floats, n: int = 256) -> Floats:
    """Power of tapered samples [component, sample], summed over components, per hertz of duration."""
    taper = np.hanning(x.shape[-1])
    return np.asarray((np.abs(np.fft.rfft(x * taper, n)) ** 2).sum(axis=0) / np.sum(taper**2))


FREQUENCY = np.fft.rfftfreq(256, 1 / RATE)


def centroid_hz(power: Floats) -> float:
    band = (FREQUENCY >= 2) & (FREQUENCY <= 42)
    return float(np.sum(power[band] * FREQUENCY[band]) / np.sum(power[band]))


def spectra_of(record: Record) -> dict[str, Floats]:
    x, p, s = record.samples, record.p, record.s
    pieces = [spectrum(x[:, k : k + 128]) for k in range(0, p - 128 - 30, 64)]
    return {
        "noise": np.median(pieces, axis=0),
        "P": spectrum(x[:, p - 5 : p + min(100, int(0.9 * (s - p)))]),
        "S": spectrum(x[:, s - 5 : s + 128]),
    }


def coda_decay(x: Floats, s: int, noise: float) -> float:
    """Nepers of amplitude a second between 1 and 6 s after S, where twice above the noise; NaN under 2 s of that."""
    t = np.arange(1.0, 6.0, 0.25)
    level = np.array([rms(x[:, s + int(k * RATE) : s + int((k + 0.5) * RATE)]) for k in t])
    clear = int(np.argmax(np.append(level < 2 * noise, True)))
    return float(-np.polyfit(t[:clear], np.log(level[:clear]), 1)[0]) if clear >= 8 else np.nan


def numbers_of(record: Record) -> dict[str, float]:
    """What is compared, one number each; NaN where the record is too weak to say."""
    x, p, s = record.samples, record.p, record.s
    noise = rms(x[:, : p - 30])
    spectra = spectra_of(record)
    p_end = p + min(100, int(0.9 * (s - p)))
    size = np.sqrt(np.sum(x**2, axis=0))
    snr_p = rms(x[:, p : p + 50]) / rms(x[:, p - 50 : p])
    snr_s = rms(x[:, s : s + 50]) / rms(x[:, s - 50 : s])
    clear = rms(x[:, p:p_end]) > 3 * noise
    out = {
        "SNR of P (0.5 s)": snr_p,
        "SNR of S (0.5 s)": snr_s,
        "noise centroid (Hz)": centroid_hz(spectra["noise"]),
        "noise horizontal/vertical": rms(x[:2, : p - 30]) / rms(x[2, : p - 30]),
        "noise 20-40 Hz / 4-10 Hz (dB)": band_ratio_db(spectra["noise"]),
        "noise level, scatter of 1 s (ln)": float(
            np.std([np.log(rms(x[:, k : k + 100]) + 1e-30) for k in range(0, p - 130, 100)])
        ),
    }
    strong = {
        "peak S / peak P": size[s : s + 150].max() / size[p:p_end].max(),
        "P centroid (Hz)": centroid_hz(np.maximum(spectra["P"] - spectra["noise"], 0)),
        "S centroid (Hz)": centroid_hz(np.maximum(spectra["S"] - spectra["noise"], 0)),
        "P 20-40 Hz / 4-10 Hz (dB)": band_ratio_db(spectra["P"]),
        "S 20-40 Hz / 4-10 Hz (dB)": band_ratio_db(spectra["S"]),
        "P vertical/horizontal": rms(x[2, p : p + 40]) / rms(x[:2, p : p + 40]),
        "S horizontal/vertical": rms(x[:2, s : s + 60]) / rms(x[2, s : s + 60]),
        "P rise to its peak (s)": float(np.argmax(size[p : min(p + 100, s - 5)])) / RATE,
        "S rise to its peak (s)": float(np.argmax(size[s : s + 150])) / RATE,
        "before S / first 0.5 s of P": rms(x[:, s - 40 : s - 10]) / rms(x[:, p : p + 50]) if s - p > 150 else np.nan,
        "S coda 3 s later / S": rms(x[:, s + 300 : s + 400]) / rms(x[:, s : s + 100]),
        "S coda decay (1/s)": coda_decay(x, s, noise),
    }
    return out | {name: value if clear else np.nan for name, value in strong.items()} | {"S-P (s)": (s - p) / RATE}


def band_ratio_db(power: Floats) -> float:
    high, low = (np.mean(power[(a <= FREQUENCY) & (b >= FREQUENCY)]) for a, b in ((20, 40), (4, 10)))
    return float(10 * np.log10(high / low))


def twin_of(campaign: Campaign, ground: Ground) -> Preset:
    """A fictional campaign with the stations and the box of hypocentres of a real one."""
    frame = campaign.frame
    picked = {k.station_id for k in campaign.catalogue.picks}
    stations = [s for s in campaign.stations if s.station_id in picked]
    km = 111.195 * np.array([1.0, float(np.cos(np.radians(frame.center_latitude_deg)))])
    centre = np.array([frame.center_latitude_deg, frame.center_longitude_deg])
    north, east = ((np.array([[s.latitude_deg, s.longitude_deg] for s in stations]) - centre) * km).T
    known = [(e.latitude_deg, e.longitude_deg, e.depth_m / 1e3) for e in campaign.catalogue.events
             if e.latitude_deg is not None and e.longitude_deg is not None and e.depth_m is not None]  # fmt: skip
    source_north, source_east = ((np.array([k[:2] for k in known]) - centre) * km).T
    depth = np.maximum([k[2] for k in known], 0.3)
    return Preset(
        name=f"{campaign.name}-twin",
        description="simulated on the stations of a real campaign",
        network_code="QX",
        station_code=tuple(f"T{k:03d}" for k in range(len(stations))),
        east_km=tuple(east.tolist()),
        north_km=tuple(north.tolist()),
        elevation_m=tuple(float(s.elevation_m) for s in stations),
        rate_hz=100.0,
        model=CRUST,
        depth_min_km=float(np.quantile(depth, 0.05)),
        depth_max_km=float(np.quantile(depth, 0.95)) + 0.1,
        volume_east_km=(float(np.quantile(source_east, 0.05)), float(np.quantile(source_east, 0.95))),
        volume_north_km=(float(np.quantile(source_north, 0.05)), float(np.quantile(source_north, 0.95))),
        mw_min=0.6,
        mw_max=1.8,
        mechanism_scatter_deg=40.0,
        stress_drop_mpa=ground.stress_drop_mpa,
        kappa_s=ground.kappa_s,
        scattering=ground.scattering,
        noise=NoiseModel(rms_m_s=1.5e-7, pump_rms_m_s=0.0, bursts_per_minute=0.3),
        geophone=Geophone(natural_frequency_hz=0.5),
    )


def noise_of(campaign: Campaign) -> list[Floats]:
    """What its stations recorded from 2 s after the start to 1 s before the first P, where that is 12 s or more."""
    found = []
    for stretch in campaign.stretches():
        recording = stretch.recording
        last = min((int(recording.index_of(k.time) - RATE) for k in stretch.picks), default=0)
        for samples, recorded in zip(recording.samples, recording.recorded, strict=True):
            if last - 200 >= 12 * RATE and np.all(recorded[:, 200:last]):
                found.append(samples[:, 200:last].astype(np.float64))
    return found


def simulated(preset: Preset, events: int, seed: int, own_noise: list[Floats] | None = None) -> list[Record]:
    with tempfile.TemporaryDirectory() as folder:
        made = simulate_campaign(preset, Path(folder) / "made", seed=seed, events=events, false_triggers=0,
                                 label_convention="onset", own_noise=own_noise)  # fmt: skip
        return records_of(Campaign.read(made.waveforms, made.stations, made.picks, name=preset.name))


def table_of(columns: dict[str, list[Record]]) -> TextTable:
    """Medians with quartiles."""
    rows: list[list[str]] = []
    numbers = {name: [numbers_of(r) for r in records] for name, records in columns.items()}
    for row in next(iter(numbers.values()))[0]:
        cells = []
        for values in numbers.values():
            x = np.array([v[row] for v in values])
            x = x[np.isfinite(x)]
            low, middle, high = np.quantile(x, [0.25, 0.5, 0.75]) if len(x) else (np.nan,) * 3
            cells.append(f"{middle:.2f} [{low:.2f}, {high:.2f}] {len(x)}")
        rows.append([row, *cells])
    names = [f"{name} ({len(records)})" for name, records in columns.items()]
    return TextTable(["median [quartiles] records", *names], rows)


def draw_records(left: tuple[str, list[Record]], right: tuple[str, list[Record]], path: Path, seed: int) -> None:
    """Eight records of each, three components, each record to its own largest value, lined up on P."""
    rng = np.random.default_rng(seed)
    with style():
        figure = new_figure(13.0, 15.0)
        for axes, (name, records) in zip(figure.subplots(1, 2), (left, right), strict=True):
            chosen = sorted(rng.permutation(len(records))[:8], key=lambda k: records[k].s)
            for y, record in enumerate(records[k] for k in chosen):
                a, b = record.p - 200, min(record.s + 600, record.samples.shape[-1])
                x = record.samples[:, a:b] / np.abs(record.samples[:, a:b]).max()
                t = (np.arange(a, b) - record.p) / RATE
                for c in (2, 0, 1):
                    level = 3 * y + (2, 0, 1).index(c)
                    axes.plot(t, level - 0.75 * x[c], color="0.2", linewidth=0.5)
                    axes.text(t[0] - 0.1, level, "ENZ"[c], ha="right", va="center", fontsize=7, color="0.4")
                for at, phase in ((0.0, "P"), ((record.s - record.p) / RATE, "S")):
                    axes.vlines(at, 3 * y - 0.6, 3 * y + 2.6, color=COLOURS[phase], linewidth=0.9)
                axes.axhline(3 * y + 2.55, color="0.9", linewidth=0.6)
            axes.set(title=name, ylim=(24, -1), yticks=[], xlabel="seconds after P", xlim=(-2.3, 9))
            plain(axes)
        save(figure, path)


def draw_averages(columns: dict[str, list[Record]], path: Path) -> None:
    """Median spectra of noise, P and S; envelopes lined up on P and on S; SNR; S over P. One column a data set."""
    with style():
        figure = new_figure(4.0 * len(columns), 10.5)
        grid = figure.subplots(4, len(columns), squeeze=False)
        for k, (name, records) in enumerate(columns.items()):
            numbers = [numbers_of(r) for r in records]
            strong = [r for r, v in zip(records, numbers, strict=True) if np.isfinite(v["peak S / peak P"])]
            spectra = [spectra_of(r) for r in strong]
            reference = [np.sqrt(np.max(v["S"])) for v in spectra]
            for kind, colour in COLOURS.items():
                lines = np.array([np.sqrt(v[kind]) / r for v, r in zip(spectra, reference, strict=True)])
                low, middle, high = np.quantile(lines, [0.25, 0.5, 0.75], axis=0)
                grid[0, k].fill_between(FREQUENCY[2:], low[2:], high[2:], color=colour, alpha=0.2, linewidth=0)
                grid[0, k].loglog(FREQUENCY[2:], middle[2:], color=colour)
            grid[0, k].set(title=name, xlabel="Hz", ylim=(1e-3, 2), xlim=(1, 50), ylabel="velocity / S maximum")
            for row, at in ((1, "p"), (2, "s")):
                t = np.arange(-150, 400 if at == "p" else 600)
                bins = t.reshape(-1, 5).mean(axis=1) / RATE
                curves = [envelope(r, getattr(r, at), t) for r in strong]
                low, middle, high = np.quantile(curves, [0.25, 0.5, 0.75], axis=0)
                grid[row, k].fill_between(bins, low, high, color=COLOURS[at.upper()], alpha=0.2, linewidth=0)
                grid[row, k].semilogy(bins, middle, color=COLOURS[at.upper()])
                grid[row, k].axvline(0, color="0.6", linewidth=0.7)
                grid[row, k].set(xlabel=f"s after {at.upper()}", ylim=(3e-3, 2), ylabel="envelope / largest")
            for key, colour in (("SNR of P (0.5 s)", COLOURS["P"]), ("SNR of S (0.5 s)", COLOURS["S"]),
                                ("peak S / peak P", "0.3")):  # fmt: skip
                values = np.sort([v[key] for v in numbers if np.isfinite(v[key])])
                grid[3, k].semilogx(values, np.linspace(0, 1, len(values)), color=colour, label=key)
            grid[3, k].set(xlim=(0.5, 100), xlabel="ratio", ylabel="share below")
            for axes in grid[:, k]:
                plain(axes, grid=True)
        handles, labels = grid[3, 0].get_legend_handles_labels()
        legend_outside(figure, handles, labels)
        save(figure, path)


def envelope(record: Record, at: int, t: NDArray[np.int64]) -> Floats:
    """Rms of 50 ms pieces around an onset over the record's largest; NaN-free by repeating the last sample."""
    x = record.samples[:, np.minimum(at + t, record.samples.shape[-1] - 1)]
    pieces = np.sqrt(np.mean(x.reshape(3, -1, 5) ** 2, axis=(0, 2)))
    return np.asarray(pieces / np.sqrt(np.mean(x**2, axis=0)).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, nargs="*")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--events", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    columns: dict[str, list[Record]] = {}
    for folder in given.data:
        campaign = Campaign.read(folder / "waveforms", folder / "stations.xml", folder / "picks.xml",
                                 name=folder.name, skip_unknown=True)  # fmt: skip
        pair = {campaign.name: records_of(campaign)}
        twin = twin_of(campaign, GROUND.get(campaign.name, Ground()))
        pair[twin.name] = simulated(twin, given.events, given.seed)
        draw_records(*pair.items(), given.out / f"{campaign.name}-records.png", given.seed)
        columns |= pair
        if noise := noise_of(campaign):
            columns[f"{twin.name}, real noise"] = simulated(twin, given.events, given.seed, noise)
    for preset in PRESETS.values():
        columns[preset.name] = simulated(preset, max(given.events // 2, 4), given.seed)
    draw_averages(columns, given.out / "averages.png")
    text = Console(width=40 + 31 * len(columns), record=True)
    text.print(table_of(columns))
    (given.out / "numbers.txt").write_text(text.export_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
