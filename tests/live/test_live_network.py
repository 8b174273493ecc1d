"""Picks of a live network: the same as of the whole record, whatever order the packets come in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.library import read_adapter, write_adapter
from phaseno_peft.library.card import Card
from phaseno_peft.library.folds import FoldAdapter, write_folds
from phaseno_peft.library.store import EVALUATION
from phaseno_peft.live import LivePasses
from phaseno_peft.picking import Picker, load_adapter
from tests.live.feeds import T0, THRESHOLD, Network, noise, packets, table


@pytest.fixture(scope="module")
def picker(small_backbone: Path) -> Picker:
    return Picker.load(small_backbone)


@pytest.fixture(scope="module")
def in_order(picker: Picker) -> Network:
    network = Network(picker, table())
    network.feed(packets(noise()))
    return network


def test_final_picks_are_those_of_the_whole_record(picker: Picker, in_order: Network) -> None:
    whole = picker.classify(noise(), table(), P_threshold=THRESHOLD, S_threshold=0.9, stride_s=5.0, gate="off")
    expected = sorted((p.trace_id, p.phase, p.time - T0) for p in whole if p.time - T0 < 65.0)
    found = [f for f in in_order.final() if f[2] < 65.0]
    assert len(expected) > 5
    assert [f[:2] for f in found] == [e[:2] for e in expected]
    assert np.abs(np.array([f[2] for f in found]) - np.array([e[2] for e in expected])).max() < 0.03


@pytest.mark.slow
def test_an_ensemble_is_followed_as_it_picks(adapter_home: Path, small_backbone: Path, tmp_path: Path) -> None:
    stored = read_adapter(adapter_home / "adapters" / "tiny-ohio")
    shifts_s = ({"P": 0.01, "S": 0.0}, {"P": 0.03, "S": 0.0})
    folds = [
        FoldAdapter({key: tensor * (1.0 + i) for key, tensor in stored.tensors.items()}, shift_s)
        for i, shift_s in enumerate(shifts_s)
    ]
    (tmp_path / "scratch").mkdir()
    files = {EVALUATION: stored.folder / EVALUATION, **write_folds(tmp_path / "scratch", folds)}
    card = Card("two", stored.settings, stored.contract, {}, {}, [])
    folder = write_adapter(tmp_path / "two", stored.settings, stored.contract, stored.tensors, card, files)
    picker = load_adapter(folder, backbone=small_backbone, ensemble=True)
    curve = picker.annotation(noise(), table()).probabilities[:, 0]
    level = float(np.quantile(curve[:, 1500:6500], 0.995))
    whole = picker.classify(noise(), table(), P_threshold=level, S_threshold=0.9, stride_s=5.0)
    network = Network(picker, table(), p_threshold=level)
    network.feed(packets(noise()))
    expected = sorted((p.trace_id, p.time - T0) for p in whole if p.phase == "P" and p.time - T0 < 65.0)
    found = [(f[0], f[2]) for f in network.final() if f[1] == "P" and f[2] < 65.0]
    assert len(expected) > 2
    assert [f[0] for f in found] == [e[0] for e in expected]
    assert np.abs(np.array([f[1] for f in found]) - np.array([e[1] for e in expected])).max() < 0.03


def test_a_pick_is_told_early_and_its_changes_name_what_they_replace(in_order: Network) -> None:
    reports = in_order.reports
    known: dict[str, str] = {}
    for report in reports:
        if report.replaces is not None:
            assert known.pop(report.replaces) == "preliminary"
        assert known.get(report.id, "preliminary") == "preliminary"
        known[report.id] = report.status
    assert {"preliminary", "final"} <= {r.status for r in reports}


def test_late_repeated_and_disordered_packets_change_nothing(picker: Picker, in_order: Network) -> None:
    listed = packets(noise())
    late = [p for p in listed if p.stats.station == "B" and 20 <= p.stats.starttime - T0 < 32]
    order = [p for p in listed if not any(p is one for one in late)]
    at = next(k for k, p in enumerate(order) if p.stats.endtime - T0 > 44)
    mixed = [*order[:at], *reversed(late), *order[at:]]
    mixed = [p for p in mixed for _ in range(2 if p.stats.station == "C" else 1)]
    network = Network(picker, table())
    network.feed(mixed)
    assert network.live.buffers.n_repeated == sum(p.stats.station == "C" for p in listed)
    assert network.live.buffers.n_late >= len(late)
    # what was final when they came stays; what became final afterwards is that of packets in order
    apart = [
        [
            f
            for f in one.final()
            if f[2] > 15.5 and not any(f[:2] == g[:2] and abs(f[2] - g[2]) < 0.1 for g in two.final())
        ]
        for one, two in ((network, in_order), (in_order, network))
    ]
    assert apart == [[], []]


def test_a_station_that_dies_and_one_that_joins_leave_the_others_alone(picker: Picker) -> None:
    kept = [
        p
        for p in packets(noise(140.0))
        if not (p.stats.station == "B" and p.stats.starttime - T0 >= 40)
        and not (p.stats.station == "C" and p.stats.starttime - T0 < 60)
    ]
    network = Network(picker, table())
    network.feed(kept)
    assert any("XX.B is silent for 30 s" in text for text in network.told)
    assert any("XX.C joins" in text for text in network.told)
    assert not any("too slow" in text for text in network.told)
    states = network.live.buffers.stations
    assert {i for i, state in states.items() if not state.is_silent} == {"XX.A.", "XX.C."}
    assert network.live.summary.n_passes >= (140 - 30) // 5 - 1
    assert max((f[2] for f in network.final() if f[0] == "XX.B."), default=0.0) < 40.1


def test_a_wrong_clock_is_left_out_and_a_jump_of_all_begins_anew(picker: Picker) -> None:
    network = Network(picker, table())
    listed = packets(noise(60.0))
    for packet in listed:
        if packet.stats.station == "B" and packet.stats.starttime - T0 >= 40:
            packet.stats.starttime += 3600
    for packet in listed:
        network.now_s = min(packet.stats.endtime - T0, 60.0)
        network.live.add(packet, network.now_s)
    assert any("XX.B is 36" in text and "before the other stations" in text for text in network.told)
    assert network.live.buffers.n_refused > 0
    network.feed(packets(noise(100.0, start=T0 + 7200)))
    assert any("the time of the network jumped" in text for text in network.told)
    assert max(f[2] for f in network.final()) > 7200


def test_where_the_machine_is_too_slow_the_newest_comes_first_and_nothing_is_left_out(picker: Picker) -> None:
    network, seen = Network(picker, table()), [0.0]

    def seldom(_: object) -> bool:
        is_time = network.now_s - seen[0] >= 25.0
        seen[0] = network.now_s if is_time else seen[0]
        return is_time

    network.feed(packets(noise(140.0)), advance=seldom)
    assert any("too slow" in text and "newest window is picked first" in text for text in network.told)
    assert network.live.summary.lost_s == 0.0
    whole = Network(picker, table())
    whole.feed(packets(noise(140.0)))
    assert network.live.summary.n_windows < whole.live.summary.n_windows
    found = [f for f in network.final() if f[2] < 80.0]
    for begin in range(0, 80, 20):  # every part of the record was picked
        assert any(begin <= f[2] < begin + 20 for f in found), begin


def test_a_pause_of_the_machine_loses_record_and_says_how_much(picker: Picker) -> None:
    network = Network(picker, table())
    network.feed(packets(noise(200.0)), advance=lambda p: p.stats.endtime - T0 < 60 or p.stats.endtime - T0 > 195)
    assert network.live.summary.lost_s > 0
    assert any("s of record, 2024-05-01T00:0" in text and "were not picked" in text for text in network.told)


def test_packets_longer_than_the_step_are_not_a_slow_machine(picker: Picker) -> None:
    """One station whose packets are longer than the time between two passes: each pass is due with a packet only."""
    network = Network(picker, table("A"), every_s=2.0)
    network.feed([p for p in packets(noise(100.0, "A")) for _ in range(2)])  # looked at again between packets
    assert not any("too slow" in text for text in network.told)
    whole = picker.classify(
        noise(100.0, "A"), table("A"), P_threshold=THRESHOLD, S_threshold=0.9, stride_s=2.0, gate="off"
    )
    expected = sorted((p.trace_id, p.phase, p.time - T0) for p in whole if p.time - T0 < 65.0)
    found = [f for f in network.final() if f[2] < 65.0]
    assert len(expected) > 3
    assert [f[:2] for f in found] == [e[:2] for e in expected]
    assert np.abs(np.array([f[2] for f in found]) - np.array([e[2] for e in expected])).max() < 0.03


def test_channels_of_the_recorders_health_are_no_sign_of_life_and_missing_stations_are_named(picker: Picker) -> None:
    network = Network(picker, table("ABC"))
    health = noise(100.0, "A").select(channel="HHZ")
    for trace in health:
        trace.data, trace.stats.sampling_rate, trace.stats.channel = trace.data[:100], 1.0, "LCQ"
    own = [p for p in packets(noise(100.0, "AB")) if p.stats.station == "B" or p.stats.starttime - T0 < 40]
    slow = [trace.slice(T0 + at, T0 + at + 3) for trace in health for at in range(0, 96, 4)]
    network.feed(sorted([*own, *slow], key=lambda p: p.stats.endtime))
    assert any("XX.A is silent" in text for text in network.told)
    assert any("no packet came in 30 s of XX.C (1 of 3 stations)" in text for text in network.told)
    assert "of 3 listed stations send" in network.live.status()


def test_what_was_judged_before_a_jump_of_time_is_forgotten(picker: Picker) -> None:
    """A clock that runs ahead and is set right: the same times come again, with other samples."""
    network = Network(picker, table("A"))
    network.feed(packets(noise(100.0, "A", start=T0 + 300, seed=2)))
    for trace in packets(noise(440.0, "A")):
        network.now_s = 400.0 + (trace.stats.endtime - T0)
        network.live.add(trace, network.now_s)
        network.reports += network.live.advance()
    alone = Network(picker, table("A"))
    alone.feed(packets(noise(440.0, "A")))
    inside = [[f for f in n.final() if 310 < f[2] < 390] for n in (network, alone)]
    assert [f for f in inside[0] if f in inside[1]] == inside[1]


def test_a_jump_ends_every_pick_and_ids_stay_unique(picker: Picker) -> None:
    network = Network(picker, table("A"))
    network.feed(packets(noise(100.0, "A", start=T0)))
    seen = len(network.written())
    network.feed(packets(noise(60.0, "A", start=T0 + 500, seed=1)))
    network.feed(packets(noise(100.0, "A", start=T0)))
    network.live.finish()
    lines = network.written()
    assert len(lines) > seen
    open_ids: set[str] = set()
    ended: set[str] = set()
    for line in lines:
        assert line["id"] not in ended
        open_ids.discard(line["replaces"])
        if line["status"] == "preliminary":
            open_ids.add(line["id"])
        else:
            open_ids.discard(line["id"])
            ended.add(line["id"])
    assert not open_ids


def test_of_two_stations_the_one_that_goes_on_has_the_time(picker: Picker) -> None:
    network = Network(picker, table("AB"))
    listed = packets(noise(60.0, "AB"))
    for packet in listed:
        if packet.stats.station == "B" and packet.stats.starttime - T0 >= 30:
            packet.stats.starttime -= 3600
    for packet in listed:
        network.now_s = min(abs(packet.stats.endtime - T0), 60.0)
        network.live.add(packet, network.now_s)
    assert network.live.buffers.n_restarts == 0
    assert any("XX.B is 36" in text and "behind the other stations" in text for text in network.told)


def test_an_output_that_fails_is_named_once_and_the_others_go_on(picker: Picker) -> None:
    class Full:
        name = "picks.jsonl"

        def write(self, _: object) -> None:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    network = Network(picker, table())
    network.live._outputs.insert(0, Full())
    network.feed(packets(noise()))
    assert network.written()
    assert [text for text in network.told if "picks.jsonl: picks could not be written" in text] == [
        "picks.jsonl: picks could not be written ([Errno 28] No space left on device). Further failures there are not "
        "told."
    ]


@pytest.mark.parametrize("every_s", [0.0, 0.015, 20.0])
def test_impossible_steps_are_refused(picker: Picker, every_s: float) -> None:
    with pytest.raises(PhasenoPeftError, match="`every_s` is"):
        LivePasses(picker, table(), every_s=every_s)
