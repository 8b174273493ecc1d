"""Headers and instruments: sampling rates, units and responses that differ, and samples that are there twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.plan import few
from phaseno_peft.checking.delivery import Delivery

SAME_RATE = 1e-3
"""Relative difference of rates that a header rounds away."""
UNIT_RATIO = 1e4
"""By which the noise of a channel does not change, nights and storms included."""
SLOW_PART = 0.5
"""A station sampled below this part of the network's own rate has an empty upper half of the band."""


def channel_findings(delivery: Delivery) -> list[Finding]:
    """Findings about headers and instruments."""
    return [
        *_rates_differ(delivery),
        *_rates_declared(delivery),
        *_units(delivery),
        *_levels_differ(delivery),
        *_twice(delivery),
    ]


def _rates_differ(delivery: Delivery) -> Iterator[Finding]:
    by_sensor: dict[str, Counter[float]] = {}
    for seed_id, counts in delivery.traces.rates.items():
        by_sensor.setdefault(seed_id[:-1], Counter()).update(counts)
    for sensor, counts in sorted(by_sensor.items()):
        if len(listed := _distinct(counts)) > 1:
            yield Finding(
                "warning",
                f"{sensor}*: one sensor has sampling rates of {_hz(listed)} Hz.",
                "rates differ",
                delivery.traces.files[sensor, min(listed, key=lambda rate: counts[rate])],
                f"{sensor}*",
                f"{_hz(listed)} Hz",
                "Check the headers; a wrong rate stretches the record and moves every arrival.",
            )
    common = Counter(_distinct(counts)[0] for counts in by_sensor.values() if counts)
    if not common:
        return
    usual = common.most_common(1)[0][0]
    for sensor, counts in sorted(by_sensor.items()):
        slowest = min(counts)
        if slowest < SLOW_PART * usual and slowest < delivery.rate_hz * (1 - SAME_RATE):
            yield Finding(
                "warning",
                f"{sensor}*: sampled at {slowest:g} Hz where most of the network has {usual:g} Hz: it records nothing "
                f"above {slowest / 2:g} Hz.",
                "rates differ",
                delivery.traces.files[sensor, slowest],
                f"{sensor}*",
                f"{slowest:g} Hz",
                "Deliver the original rate if there is one, or leave the station out.",
            )


def _rates_declared(delivery: Delivery) -> Iterator[Finding]:
    source = delivery.stations.source if delivery.stations is not None else ""
    for seed_id, counts in sorted(delivery.traces.rates.items()):
        response = delivery.responses.get(seed_id)
        declared = response.rate_hz if response is not None else None
        if declared and all(abs(rate / declared - 1) > SAME_RATE for rate in counts):
            yield Finding(
                "note",
                f"{seed_id}: the traces have {_hz(_distinct(counts))} Hz, {source} says {declared:g} Hz.",
                "rates differ",
                source,
                seed_id,
                f"{_hz(_distinct(counts))} Hz",
                "The traces' own rate is used; correct the station file.",
            )


def _units(delivery: Delivery) -> Iterator[Finding]:
    if delivery.stations is None:
        return
    source = delivery.stations.source
    recorded = sorted(delivery.traces.rates)
    known = {seed_id: delivery.responses[seed_id] for seed_id in recorded if seed_id in delivery.responses}
    units = Counter(r.units for r in known.values() if r.units)
    if len(units) > 1:
        usual = units.most_common(1)[0][0]
        for unit in sorted(set(units) - {usual}):
            which = [seed_id for seed_id, r in known.items() if r.units == unit]
            yield Finding(
                "warning",
                f"{len(which)} channels record {unit} where most record {usual}: {few(which)}.",
                "units differ",
                source,
                ", ".join(which),
                unit,
                "Velocity and acceleration look different to the network: deliver one kind, or train on one kind.",
            )
    negative = [seed_id for seed_id, r in known.items() if r.counts_per_unit < 0]
    if negative and len(negative) < len(known):
        yield Finding(
            "note",
            f"{len(negative)} channels have a negative sensitivity, which says they are wired the other way round: "
            f"{few(negative)}. Records are used as they are.",
            "reversed component",
            source,
            ", ".join(negative),
            "sensitivity below 0",
        )
    lacking = [seed_id for seed_id in recorded if seed_id not in known]
    if known and lacking:
        yield Finding(
            "note",
            f"{len(lacking)} of {len(recorded)} channels have no response in {source}: {few(lacking)}. Amplitudes are "
            "compared in counts.",
            "response missing",
            source,
            ", ".join(lacking),
        )


def _levels_differ(delivery: Delivery) -> Iterator[Finding]:
    """Files in other units: no noise changes by so much."""
    off = {i: pair for i, pair in delivery.traces.levels.items() if pair[1][0] > UNIT_RATIO * pair[0][0]}
    if not off:
        return
    seed_id, ((low, quiet), (high, loud)) = max(off.items(), key=lambda entry: entry[1][1][0] / entry[1][0][0])
    yield Finding(
        "warning",
        f"{len(off)} channels have samples that are {high / low:.0e} times as large in one file as in another "
        f"({few(sorted(off))}; {seed_id} in {loud} and {quiet}): counts beside metres per second?",
        "units differ",
        loud,
        ", ".join(sorted(off)),
        f"{high / low:.0e}",
        "Deliver all files in one unit. Windows are normalised one by one, but a window over both is not.",
    )


def _twice(delivery: Delivery) -> Iterator[Finding]:
    """Samples that stand under two times or two names: a copy in training and its twin in test would be a leak."""
    told: set[tuple[str, ...]] = set()
    for twins in delivery.traces.twins:
        (file, name), (seed_id, other) = twins.files, twins.seed_ids
        pair = twins.seed_ids if twins.is_same_time else twins.files
        if pair in told:
            continue
        told.add(pair)
        if twins.is_same_time:
            text = f"{seed_id} and {other} hold the same samples at the same time."
            step = "One channel was copied under another name: deliver the channel's own samples."
            kind = "duplicate channel"
        else:
            text = (
                f"{name} repeats the samples of {file} under another time ({other} at {twins.start}): one copy may be "
                "learnt and the other judged."
            )
            step = "Delete the wrong copy and its picks."
            kind = "leakage"
        yield Finding("warning", text, kind, name, f"{other} {twins.start}", file, step)


def _distinct(counts: Counter[float]) -> list[float]:
    """Rates that differ by more than a header's rounding, the commonest first."""
    kept: list[float] = []
    for rate, _ in counts.most_common():
        if all(abs(rate / other - 1) > SAME_RATE for other in kept):
            kept.append(rate)
    return kept


def _hz(rates: list[float]) -> str:
    return " and ".join(f"{rate:g}" for rate in sorted(rates))
