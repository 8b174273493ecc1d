"""Noise before the events: level and spectrum of each channel beside the campaign's median."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from phaseno_peft.campaign.findings import Finding
from phaseno_peft.checking.delivery import Delivery
from phaseno_peft.contract import COMPONENTS

SEGMENT_SAMPLES = 256
SHORTEST_SAMPLES = 2 * SEGMENT_SAMPLES
MOST_SAMPLES = 6000
"""One minute of the network's time from each recording says what its noise is."""
BEFORE_PICK_S = 0.5
BAND = (0.02, 0.4)
"""Of the sampling rate: where levels are compared, 2 to 40 Hz at 100 Hz."""
NOISY_DB = 20.0
"""Ten times the amplitude of the campaign's median, or of the station's other components."""
UNIT_DB = 60.0
"""A thousand times: no site is that noisy; another unit or gain."""
DEAD_DB = -30.0
"""A component this far below its station's others hears next to nothing."""
FEWEST_STATIONS = 4
"""A median of fewer says nothing."""


@dataclass(frozen=True)
class NoiseSpectra:
    """Spectra of all stations before their events."""

    frequencies_hz: np.ndarray  # [frequency]
    station_ids: tuple[str, ...]
    spectra_db: np.ndarray
    """[station, component (E, N, Z), frequency] power in dB, median over recordings; NaN where nothing was recorded."""
    levels_db: np.ndarray  # [station, component], mean over `BAND`
    band_hz: tuple[float, float]
    """Where levels are compared."""
    unit: str
    """What 0 dB is: "(m/s)^2/Hz" where every channel's sensitivity is known, else "counts^2/Hz"."""

    @property
    def median_db(self) -> np.ndarray:
        """[frequency] of all channels."""
        return np.asarray(np.nanmedian(self.spectra_db, axis=(0, 1)))


def measure_noise(delivery: Delivery) -> NoiseSpectra | None:
    """Welch spectra of what lies before the first pick of each recording, or of its quiet beginning."""
    from scipy.signal import welch

    found: dict[str, list[np.ndarray]] = {}
    frequencies = np.zeros(0)
    picks_ns = np.sort([p.time.ns for p in delivery.catalogue.picks]) if delivery.catalogue is not None else np.zeros(0)
    for recording in delivery.recordings:
        k = int(np.searchsorted(picks_ns, recording.start.ns))
        last = recording.n_samples
        if k < len(picks_ns):
            first_pick = (picks_ns[k] - recording.start.ns) * 1e-9 - BEFORE_PICK_S
            last = min(last, int(first_pick * recording.rate_hz)) if first_pick < recording.duration_s else last
        if last < SHORTEST_SAMPLES:
            continue
        part = slice(max(0, last - MOST_SAMPLES), last)
        frequencies, power = welch(
            recording.samples[..., part], recording.rate_hz, nperseg=SEGMENT_SAMPLES, detrend="constant", axis=-1
        )
        whole = recording.recorded[..., part].mean(axis=-1) > 0.99
        with np.errstate(divide="ignore"):
            decibel = np.where(whole[..., None], 10 * np.log10(power), np.nan)
        for i, station_id in enumerate(recording.station_ids):
            own = np.array([c in recording.components[i] for c in COMPONENTS])
            found.setdefault(station_id, []).append(np.where(own[:, None], decibel[i], np.nan))
    if not found:
        return None
    ids = tuple(sorted(found))
    with np.errstate(all="ignore"):
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # channels without any record are NaN
            spectra = np.stack([np.nanmedian(np.stack(found[i]), axis=0) for i in ids])
    spectra, unit = _in_ground_motion(delivery, ids, spectra)
    band = (frequencies >= BAND[0] * delivery.rate_hz) & (frequencies <= BAND[1] * delivery.rate_hz)
    band_hz = (BAND[0] * delivery.rate_hz, BAND[1] * delivery.rate_hz)
    return NoiseSpectra(frequencies[1:], ids, spectra[..., 1:], spectra[..., band].mean(axis=-1), band_hz, unit)


def noise_findings(noise: NoiseSpectra, source: str) -> list[Finding]:
    """Channels and stations far from the campaign's median."""
    return [*_components(noise, source), *_stations(noise, source)]


def _in_ground_motion(delivery: Delivery, ids: tuple[str, ...], counts_db: np.ndarray) -> tuple[np.ndarray, str]:
    """Spectra over their sensitivity, where the station file gives one of one unit for every station."""
    by_station: dict[str, list[float]] = {}
    units = set()
    for seed_id, response in delivery.responses.items():
        station_id = seed_id.rpartition(".")[0]
        found = delivery.stations.find(station_id) if delivery.stations is not None else None
        if found is not None:
            by_station.setdefault(found.station_id, []).append(abs(response.counts_per_unit))
            units.add(response.units)
    if len(units) != 1 or not all(i in by_station and max(by_station[i]) < 2 * min(by_station[i]) for i in ids):
        return counts_db, "counts²/Hz"
    gain_db = 20 * np.log10([np.median(by_station[i]) for i in ids])
    return counts_db - gain_db[:, None, None], f"({units.pop().lower()})²/Hz"


def _components(noise: NoiseSpectra, source: str) -> Iterator[Finding]:
    for station_id, levels in zip(noise.station_ids, noise.levels_db, strict=True):
        for c, letter in enumerate(COMPONENTS):
            others = np.delete(levels, c)
            others = others[np.isfinite(others)]
            if not len(others) or np.isnan(levels[c]):
                continue
            above = float(levels[c] - others.max())
            below = float(levels[c] - others.min())
            if above > NOISY_DB:
                yield Finding(
                    "warning",
                    f"{station_id}: {letter} is {above:.0f} dB louder before events than its other components.",
                    "noisy channel",
                    source,
                    f"{station_id} {letter}",
                    f"+{above:.0f} dB",
                    "Look at its record; if it is broken, leave the channel out.",
                )
            elif below < DEAD_DB and len(others) == 2:
                yield Finding(
                    "warning",
                    f"{station_id}: {letter} is {-below:.0f} dB quieter than the station's other components: it hears "
                    "next to nothing.",
                    "dead channel",
                    source,
                    f"{station_id} {letter}",
                    f"{below:.0f} dB",
                    "Check the cable and the gain; if it is broken, leave the channel out.",
                )


def _stations(noise: NoiseSpectra, source: str) -> Iterator[Finding]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        of_station = np.nanmedian(noise.levels_db, axis=1)
    known = of_station[np.isfinite(of_station)]
    if len(known) < FEWEST_STATIONS:
        return
    for station_id, level in zip(noise.station_ids, of_station, strict=True):
        above = float(level - np.median(known))
        if np.isnan(above) or abs(above) < NOISY_DB:
            continue
        if abs(above) > UNIT_DB:
            text = f"{station_id}: {above:+.0f} dB from the campaign's median before events: another unit or gain."
            kind, step = "units differ", "Compare its response and the unit of its samples with the other stations'."
        elif "counts" in noise.unit:
            continue  # without responses this may be gain alone, which the network does not see
        elif above > 0:
            text = f"{station_id}: {above:.0f} dB above the campaign's median noise before events."
            kind, step = "noisy channel", "Look at its picks first; if few can be believed, leave the station out."
        elif above < -2 * NOISY_DB:
            text = f"{station_id}: {-above:.0f} dB below the campaign's median noise before events."
            kind, step = "dead channel", "Check that it hears earthquakes at all, and its gain."
        else:
            continue  # a quiet site, or a lower gain
        yield Finding("warning", text, kind, source, station_id, f"{above:+.0f} dB", step)
