"""A picker with its stations, in the hands of programs written for SeisBench's models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import obspy
import pytest

from phaseno_peft import NetworkPicker, load_adapter
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.picking import Picker


@pytest.fixture
def picker(home: Path, small_backbone: Path) -> Picker:
    return load_adapter("tiny-ohio", backbone=small_backbone)


@pytest.fixture
def model(picker: Picker, campaign_folder: Path) -> NetworkPicker:
    return NetworkPicker(picker, campaign_folder / "stations.xml")


@pytest.fixture
def stream(campaign_folder: Path) -> obspy.Stream:
    return obspy.read(str(next((campaign_folder / "continuous").glob("*.mseed"))))


def image_of(model: Any, stream: obspy.Stream) -> dict[str, dict[str, float]]:
    """As qseek makes its images: annotate, tell phases by the channel behind "_", one curve a station."""
    annotations = model.annotate(stream, overlap=model.in_samples // 2, batch_size=64, copy=False)
    assert all(trace.stats.sampling_rate == model.sampling_rate for trace in annotations)
    image: dict[str, dict[str, float]] = {}
    for trace in annotations:
        assert trace.stats.channel.startswith(f"{model.name}_")
        image.setdefault(trace.stats.channel.split("_")[-1], {})[trace.stats.station] = float(trace.data.max())
    return image


def picks_by_rescaling(model: Any, stream: obspy.Stream, factor: float) -> list[tuple[str, str, Any]]:
    """As quakephase asks a model: records declared slower, then thresholds of its own."""
    slower = stream.copy()
    for trace in slower:
        trace.stats.sampling_rate /= factor
    picks = model.classify(slower, P_threshold=0.02, S_threshold=0.02, overlap=0.5, stacking="max").picks
    return [(pick.trace_id, pick.phase, pick.peak_time) for pick in picks if pick.peak_value >= 0.02]


def test_a_program_for_seisbench_gets_curves(model: NetworkPicker, stream: obspy.Stream) -> None:
    image = image_of(model.to("cpu").eval(), stream)
    stations = {trace.stats.station for trace in stream}
    assert set(image) == set(model.labels)
    assert all(set(curves) == stations for curves in image.values())


def test_a_program_for_seisbench_gets_picks(model: NetworkPicker, stream: obspy.Stream) -> None:
    found = picks_by_rescaling(model, stream, 2.0)
    assert found
    assert {phase for _, phase, _ in found} <= {"P", "S"}
    same = model.classify(stream, P_threshold=0.02, S_threshold=0.02)
    assert same == model.picker.classify(stream, model.stations, P_threshold=0.02, S_threshold=0.02)


def test_what_it_says_of_itself_is_the_adapters(model: NetworkPicker) -> None:
    contract = model.picker.adapter_contract
    assert (model.sampling_rate, model.in_samples, model.component_order) == (100.0, 3000, "ENZ")
    assert model.default_args["P_threshold"] == contract.thresholds["P"]
    with model.picker.frozen():
        assert model.default_args["P_threshold"] == 0.3  # of `small_backbone`


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overlap": 3000}, "`overlap` should be from 0 to 2999 samples"),
        ({"stacking": "median"}, "`stacking` should be one of avg, max but is 'median'"),
        ({"detection_threshold": 0.1}, "`detection_threshold` is no option here"),
    ],
)
def test_options_that_mean_nothing_here_are_refused(
    options: dict[str, Any], message: str, model: NetworkPicker, stream: obspy.Stream
) -> None:
    with pytest.raises(PhasenoPeftError, match=message):
        model.classify(stream, **options)


def test_another_device_is_refused(model: NetworkPicker) -> None:
    with pytest.raises(PhasenoPeftError, match="the picker is on cpu, not on cuda:7"):
        model.to("cuda:7")
