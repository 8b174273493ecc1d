"""Rivals: hand-made arrivals with known times, the original PhaseNet's numbers, and refusals in a sentence."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

from phaseno_peft.baselines import load_rivals
from phaseno_peft.baselines.phasenet import PhaseNet
from phaseno_peft.baselines.rival import longer
from phaseno_peft.baselines.seisbench_models import SeisBenchModel
from phaseno_peft.baselines.sta_lta import StaLta
from phaseno_peft.campaign import Campaign, normalise
from phaseno_peft.campaign.windows import Window
from phaseno_peft.comparison.recipes.tuned_sta_lta import TRIED, tuned_sta_lta
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.evaluation import choose_thresholds, pick_window, score
from phaseno_peft.evaluation.judge import judge, validation_windows
from tests.evaluation.handmade_windows import window

T = 3000
P, S = 1234, 1534


def arrival(t: np.ndarray, onset: float, hz: float, decay_s: float) -> np.ndarray:
    late = (t - onset) / 100.0
    return np.where(late >= 0, np.sin(2 * np.pi * hz * late) * np.exp(-np.clip(late, 0, None) / decay_s), 0.0)


def records(seed: int = 0, p: float = P, s: float = S, strength: float = 30.0) -> np.ndarray:
    """Waveforms [3, sample]: P mostly on the vertical, S mostly on the horizontals, noise of unit variance."""
    rng, t = np.random.default_rng(seed), np.arange(T)
    x = rng.standard_normal((3, T))
    for component, (of_p, of_s) in enumerate(((0.3, 1.0), (0.2, 0.9), (1.0, 0.3))):
        x[component] += strength * (of_p * arrival(t, p, 8.0, 0.5) + 1.5 * of_s * arrival(t, s, 5.0, 1.0))
    return x


def window_of(*stations: np.ndarray, recorded: np.ndarray | None = None) -> Window:
    x = np.stack(stations)
    seen = np.ones(x.shape, bool) if recorded is None else recorded
    empty = window(stations=len(x))
    shape = (len(x), 2, x.shape[-1])
    return dataclasses.replace(
        empty, waveforms=normalise(x, seen), targets=np.zeros(shape, np.float32), known=np.ones(shape, bool)
    )


def picks(found: Window, rival: StaLta | None = None) -> list[tuple[int, int, float]]:
    rival = rival or StaLta()
    curves = rival.probabilities([found])[0]
    assert curves.shape == found.known.shape
    assert curves.dtype == np.float32
    return [(p.station, p.phase, p.sample) for p in pick_window(found, curves, rival.thresholds)]


def test_stalta_finds_p_on_the_vertical_and_s_on_the_horizontals_at_their_onsets() -> None:
    found = picks(window_of(records(1), records(2)))
    assert [(station, phase) for station, phase, _ in found] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for _, phase, sample in found:
        assert sample == pytest.approx((P, S)[phase], abs=4)  # 0.04 s


@pytest.mark.parametrize("p", [100, 300, 2000, 2800])
def test_stalta_needs_one_quiet_second_before_p_and_no_more(p: int) -> None:
    found = picks(window_of(records(3, p, p + 150)))
    assert found[0][2] == pytest.approx(p, abs=4)
    assert [phase for _, phase, _ in found] == [0, 1]


def test_stalta_is_silent_on_noise_and_on_a_dead_station() -> None:
    noise = [np.random.default_rng(seed).standard_normal((3, T)) for seed in range(5)]
    assert picks(window_of(*noise, np.zeros((3, T)))) == []


def test_polarisation_counts_a_ratio_by_the_part_of_the_energy_where_the_phase_has_it() -> None:
    x = records(1)
    turned = x[[2, 1, 0]]  # vertical and east changed places: P on a horizontal, S on the vertical
    heights = {}
    for name, waveforms in (("right", x), ("turned", turned)):
        for polarised in (False, True):
            curves = StaLta(polarised=polarised).probabilities([window_of(waveforms)])[0][0]
            heights[name, polarised] = curves[:, [P, S]].max() if name == "turned" else curves.max(-1)
    plain, weighed = heights["right", False], heights["right", True]
    assert (weighed < plain).all()
    assert (weighed > 0.5 * plain).all()  # most of the energy is where it should be
    assert heights["turned", True] < 0.8 * heights["turned", False]


def test_tuned_settings_are_the_best_of_those_that_were_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = dataclasses.replace(StaLta(), name="deaf", on_ratio=1e9)
    good = dataclasses.replace(StaLta(), name="good")
    monkeypatch.setattr(
        "phaseno_peft.comparison.recipes.tuned_sta_lta.TRIED", (deaf, good, dataclasses.replace(good, name="as good"))
    )
    made = window({(0, "P"): [P], (0, "S"): [S]}, stations=1)
    windows = [dataclasses.replace(window_of(records(seed)), labels=made.labels) for seed in range(3)]
    assert tuned_sta_lta(windows).name == "good"
    assert len({dataclasses.astuple(rival)[2:] for rival in map(_hashable, TRIED)}) == len(TRIED) == 12


def _hashable(rival: StaLta) -> StaLta:
    return dataclasses.replace(rival, lta_s=tuple(rival.lta_s.items()), thresholds=())  # type: ignore[arg-type]


def test_stalta_takes_no_gap_for_an_arrival_and_a_vertical_alone_for_a_vertical() -> None:
    x = np.random.default_rng(5).standard_normal((2, 3, T))
    recorded = np.ones(x.shape, bool)
    recorded[0, :, 700:1400] = recorded[0, :, :200] = recorded[0, :, 2500:] = False
    recorded[1, :2] = False
    x[1, 2] = records(6)[2]
    gappy = window_of(*x, recorded=recorded)
    assert (gappy.waveforms[1, 0] == gappy.waveforms[1, 2]).all()
    found = picks(gappy)
    assert {station for station, _, _ in found} == {1}
    assert found[0][1:] == (0, pytest.approx(P, abs=4))


def test_stalta_control_the_components_swapped_lose_p() -> None:
    """The wrong answer: P looked for on a component that has none of it."""
    x = records(7)
    x[0] = np.random.default_rng(8).standard_normal(T)
    found = picks(window_of(x[[2, 1, 0]]))
    assert not [sample for _, phase, sample in found if phase == 0 and abs(sample - P) < 10]


def test_stalta_height_is_the_ratio_so_that_thresholds_order_arrivals_by_strength() -> None:
    heights = [StaLta().probabilities([window_of(records(9, strength=a))])[0][0].max() for a in (4.0, 8.0, 30.0)]
    assert heights == sorted(heights)
    assert heights[0] < heights[2] < 1.0


@pytest.mark.parametrize(
    ("names", "weights", "words"),
    [
        ("", None, "no rival is named"),
        ("sta-lta", None, "no rival is called 'sta-lta'.*EQTransformer:instance"),
        ("stalta,stalta", None, "named twice"),
        ("stalta", "a.safetensors", "phasenet is not among stalta"),
        ("phasenet", "nowhere/a.safetensors", "nowhere/a.safetensors: no such file"),
    ],
)
def test_wrong_names_are_refused_in_a_sentence(names: str, weights: str | None, words: str) -> None:
    with pytest.raises(PhasenoPeftError, match=words):
        load_rivals(names, weights)


@pytest.mark.parametrize("name", ["phasenet", "EQTransformer:instance"])
def test_without_seisbench_the_extra_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "seisbench", None)
    monkeypatch.setitem(sys.modules, "seisbench.models", None)
    with pytest.raises(PhasenoPeftError, match=r"pip install 'phaseno-peft\[rivals\]'"):
        load_rivals(name)


@pytest.fixture(scope="module")
def phasenet(shared: Path) -> PhaseNet:
    return PhaseNet.load(shared / "weights" / "phasenet_original.safetensors")


def test_the_original_phasenet_times_a_clear_arrival(phasenet: PhaseNet) -> None:
    found = window_of(records(1), np.stack([records(2)[2]] * 3))
    curves = phasenet.probabilities([found])[0]
    assert curves.shape == (2, 2, T)
    assert curves.min() >= 0.0
    assert curves.sum(1).max() <= 1.0 + 1e-6  # a softmax without its noise class
    for station in range(2):
        assert abs(int(curves[station, 0].argmax()) - P) <= 6
    assert curves[0, 0].max() > 0.5
    assert abs(int(curves[0, 1].argmax()) - S) <= 25


def test_the_original_phasenet_needs_its_training_padding(phasenet: PhaseNet, shared: Path) -> None:
    """Control: SeisBench's own padding, as it comes, gives other probabilities (weights README: off by up to 0.26)."""
    pytest.importorskip("seisbench", reason="needs SeisBench: pip install 'phaseno-peft[rivals]'")
    import seisbench.models
    import torch
    from safetensors.torch import load_file

    from phaseno_peft.backbone.stem import own_normalisation

    stock = seisbench.models.PhaseNet(in_channels=3, classes=3, phases="NPS")
    stock.load_state_dict(load_file(shared / "weights" / "phasenet_original.safetensors"))
    found = window_of(*(records(seed) for seed in range(6)))
    with torch.inference_mode():
        wrong = stock.eval()(own_normalisation(torch.from_numpy(found.waveforms))).numpy()[:, 1:]
    right = phasenet.probabilities([found])[0]
    assert np.abs(wrong - right).max() > 0.01
    late = wrong[:, 0].argmax(-1) - right[:, 0].argmax(-1)
    assert np.median(late) >= 1  # about 20 ms late


def test_the_original_phasenet_reaches_its_scores_on_the_ncedc_records(phasenet: PhaseNet, shared: Path) -> None:
    """Weights README, row C: F1 0.990 P and 0.977 S at 0.5 s on 154 records; 124 of them lie here."""
    h5py = pytest.importorskip("h5py", reason="needs h5py, which comes with SeisBench")
    import csv

    folder = shared / "data" / "singlestation" / "ncedc"
    rng, windows = np.random.default_rng(20190703), []
    with h5py.File(folder / "waveforms.hdf5") as file, (folder / "metadata.csv").open() as table:
        for row in csv.DictReader(table):
            x = np.asarray(file["data"][row["trace_name"]])[::-1]  # ZNE -> ENZ
            p, s = int(row["trace_p_arrival_sample"]), int(row["trace_s_arrival_sample"])
            start = int(rng.integers(max(0, s + 101 - T), p - 99))
            made = window({(0, "P"): [p - start], (0, "S"): [s - start]}, stations=1)
            cut = window_of(x[:, start : start + T])
            windows.append(dataclasses.replace(cut, labels=made.labels))
    scores = score(windows, phasenet.probabilities(windows), {"P": 0.3, "S": 0.3})
    assert scores.phase("P", 0.5).f1 == pytest.approx(0.990, abs=0.01)
    assert scores.phase("P", 0.1).f1 == pytest.approx(0.952, abs=0.02)
    assert scores.phase("S", 0.5).f1 == pytest.approx(0.977, abs=0.01)
    assert scores.phase("S", 0.1).f1 == pytest.approx(0.854, abs=0.02)
    assert abs(scores.phase("P", 0.1).residual_median_s) < 0.01


def test_other_weights_and_other_lengths_are_refused(phasenet: PhaseNet, shared: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nothing")
    for path in (broken, shared / "weights" / "phaseno_warmstart.safetensors"):
        with pytest.raises(PhasenoPeftError, match=f"{path.name}: not the weights of a PhaseNet"):
            PhaseNet.load(path)
    with pytest.raises(PhasenoPeftError, match="has 1000 samples"):
        phasenet.probabilities([window()])
    with pytest.raises(PhasenoPeftError, match="SeisBench has no model 'PhaseNought'"):
        load_rivals("PhaseNought:original")


def test_a_window_is_made_longer_by_its_first_and_last_second_to_and_fro() -> None:
    x = np.arange(300)
    made = longer(300, 250, 130)
    np.testing.assert_array_equal(made[250:550], x)
    np.testing.assert_array_equal(made[150:250], x[:100][::-1])
    np.testing.assert_array_equal(made[50:150], x[:100])
    np.testing.assert_array_equal(made[:50], x[:50][::-1])
    np.testing.assert_array_equal(made[550:650], x[-100:][::-1])
    np.testing.assert_array_equal(made[650:], x[-100:-70])
    np.testing.assert_array_equal(longer(40, 0, 90)[40:], [*range(39, -1, -1), *range(40), *range(39, 29, -1)])


def test_seisbench_annotates_a_window_itself(shared: Path) -> None:
    """The same weights by `annotate`, at 3001 samples as SeisBench has them: the picks of the clear arrivals remain."""
    models = pytest.importorskip("seisbench.models", reason="needs SeisBench: pip install 'phaseno-peft[rivals]'")
    from safetensors.torch import load_file

    model = models.PhaseNet(in_channels=3, classes=3, phases="NPS", norm="std", component_order="ENZ")
    model.load_state_dict(load_file(shared / "weights" / "phasenet_original.safetensors"))
    curves = SeisBenchModel(model.eval(), "by annotate").probabilities([window_of(records(1), np.zeros((3, T)))])[0]
    assert abs(int(curves[0, 0].argmax()) - P) <= 8
    assert curves[0, 0].max() > 0.5
    assert not curves[1].any()


@pytest.mark.parametrize(("samples", "rate_hz"), [(3001, 100.0), (1500, 50.0)])
def test_a_seisbench_model_is_read_at_its_own_rate_and_padding(samples: int, rate_hz: float) -> None:
    """A stand-in that marks the loudest sample: the position must come back through padding and resampling."""
    from obspy import Stream, Trace

    class Loudest:
        in_samples, sampling_rate = samples, rate_hz

        def annotate(self, stream: Stream) -> Stream:
            made = Stream()
            for trace in stream.copy().select(channel="HHZ"):
                assert len(trace) * trace.stats.delta >= self.in_samples / self.sampling_rate
                trace.resample(self.sampling_rate, no_filter=True)
                loudest = np.abs(trace.data).argmax()
                curve = np.maximum(0.0, 1.0 - np.abs(np.arange(len(trace)) - loudest) / 20)
                header = {**trace.stats, "channel": "Loudest_P"}
                made += Trace(curve.astype(np.float32), header)
            return made

    x = np.random.default_rng(0).standard_normal((2, 3, T))
    for station, sample in ((0, 500), (1, 2400)):
        x[station, 2] += 100 * np.exp(-0.5 * ((np.arange(T) - sample) / 3) ** 2)
    curves = SeisBenchModel(Loudest(), "loudest").probabilities([window_of(*x)])[0]
    assert curves.shape == (2, 2, T)
    assert np.abs(curves[:, 0].argmax(-1) - [500, 2400]).max() <= 1
    assert not curves[:, 1].any()


def test_rivals_are_rows_beside_adapter_and_backbone_with_thresholds_from_validation(
    tiny: Path, small_backbone: Path, campaign_folder: Path
) -> None:
    from phaseno_peft.campaign import fixed_windows, split_campaign
    from phaseno_peft.picking import load_adapter

    campaign = Campaign.read(
        campaign_folder / "waveforms", campaign_folder / "stations.xml", campaign_folder / "picks.xml", name="ohio"
    )
    picker = load_adapter(tiny, backbone=small_backbone)
    rival, contract = StaLta(), picker.adapter_contract
    judged = judge(picker, campaign, rivals=[rival])
    assert list(judged.scores) == ["frozen", "adapter", "STA/LTA + AIC"]
    split = split_campaign(campaign, contract.provenance.seed)
    validation = validation_windows(split, contract.frame, contract.preprocessing, contract.provenance.seed)
    thresholds = choose_thresholds(validation, rival.probabilities(validation), min_distance_s=contract.min_distance_s)
    test = fixed_windows(split.test, contract.frame, contract.preprocessing, contract.provenance.seed)
    again = score(test, rival.probabilities(test), thresholds, min_distance_s=contract.min_distance_s)
    assert judged.scores[rival.name] == again
    assert again.phase("P", 0.5).f1 > judged.scores["frozen"].phase("P", 0.5).f1  # whose weights are random
    assert thresholds != dict(rival.thresholds)


@pytest.mark.parametrize("name", ["baer", "ar-aic"])
def test_classical_pickers_time_a_clear_arrival_and_value_it_by_its_strength(name: str) -> None:
    (rival,) = load_rivals(name)
    clear, weak, dead = (
        rival.probabilities([window_of(x)])[0][0] for x in (records(1), records(1, strength=6.0), np.zeros((3, T)))
    )
    assert clear.shape == (2, T)
    assert abs(int(clear[0].argmax()) - P) <= 10  # 0.1 s
    if name == "ar-aic":
        assert abs(int(clear[1].argmax()) - S) <= 40
    assert 0.5 < clear[0].max() < 1.0
    assert weak[0].max() < clear[0].max()
    assert not dead.any()


def test_eqtransformer_s_weights_are_read_from_a_file(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("seisbench.models", reason="needs SeisBench: pip install 'phaseno-peft[rivals]'")
    file = shared / "weights" / "eqtransformer" / "original_nonconservative.safetensors"
    (rival,) = load_rivals(f"EQTransformer:{file}")
    curves = rival.probabilities([window_of(records(1))])[0]
    assert curves.shape == (1, 2, T)
    assert curves[0, :, 1200:1600].max() > 10 * curves[0, :, 300:1100].max()  # the end of the padding looks like a P
    with pytest.raises(PhasenoPeftError, match="cannot be loaded"):
        load_rivals(f"EQTransformer:{tmp_path / 'none.safetensors'}")
