"""One picker in many threads, and on its way to other processes."""

from __future__ import annotations

import copy
import io
import multiprocessing
import pickle
import random
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from phaseno_peft.backbone import PhaseNO, StationGraph, StemConfig, fingerprint
from phaseno_peft.contract import Contract
from phaseno_peft.cr_lora import CRLoraSettings, adapters_by_window, expected_tensors
from phaseno_peft.cr_lora.attach import resident_tensors
from phaseno_peft.errors import AdapterError, BackboneError
from phaseno_peft.library.store import StoredAdapter
from phaseno_peft.picking import Picker
from tests.cr_lora.conftest import contract, small_phaseno

NAMES = ("aa", "bb", "cc")
PICKS_A_THREAD, THREADS = 30, 8


STEM = StemConfig(channels=2, levels=3, kernel_samples=5, stride=3)


def stored(name: str, seed: int, settings: CRLoraSettings, stem: StemConfig | None = None) -> StoredAdapter:
    generator = torch.Generator().manual_seed(seed)
    backbone = small_phaseno(stem=stem)
    shapes = expected_tensors(backbone, settings)
    tensors = {key: 0.3 * torch.randn(shape, generator=generator) for key, shape in shapes.items()}
    own = Contract.from_json(contract(backbone_fingerprint=fingerprint(backbone)))
    own = replace(own, thresholds={"P": 0.1 * (seed + 1), "S": 0.5})
    return StoredAdapter(name, Path(name), settings, own, tensors)


STORED = {name: stored(name, seed, CRLoraSettings()) for seed, name in enumerate(NAMES)}
ON_A_STEM = {
    name: stored(name, seed, CRLoraSettings(stem=stem), STEM)  # type: ignore[arg-type]
    for seed, (name, stem) in enumerate(zip(NAMES, ("lora", "last", "none"), strict=True))
}
"""One adapts the stem's convolutions, one its last, one leaves it alone."""
both_backbones = pytest.mark.parametrize("stem", [None, STEM], ids=["without a stem", "with a stem"])


def new_picker(names: tuple[str, ...] = NAMES, stem: StemConfig | None = None) -> Picker:
    picker = Picker(small_phaseno(stem=stem), "small-0", {"P": 0.3, "S": 0.3})
    for name in names:
        picker.add_adapter(adapters_of(stem)[name])
    return picker


def adapters_of(stem: StemConfig | None) -> dict[str, StoredAdapter]:
    return STORED if stem is None else ON_A_STEM


def window(n_stations: int = 2) -> tuple[torch.Tensor, StationGraph]:
    generator = torch.Generator().manual_seed(1)
    waveforms = torch.randn(n_stations, 3, 120, generator=generator)
    return waveforms, StationGraph.from_coordinates(torch.rand(n_stations, 2, generator=generator) * 0.05)


def answer(picker: Picker) -> tuple[str | None, float, NDArray[np.float32]]:
    """Name, a threshold and the network's answer of one pick, taken as `annotate_recording` takes them."""
    from phaseno_peft.cr_lora import selected_adapter

    adapter = picker.in_force
    with torch.inference_mode(), selected_adapter(adapter):
        logits = picker.backbone(*window()).numpy()
    own = None if adapter is None else adapter.contract
    return adapter and adapter.name, own.thresholds["P"] if own else 0.3, logits


@pytest.fixture
def hurried() -> Iterator[None]:
    """Threads take turns every ten microseconds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def right_answers(stem: StemConfig | None = None) -> dict[str | None, tuple[str | None, float, NDArray[np.float32]]]:
    picker, right = new_picker(stem=stem), {}
    for name in (*NAMES, None):
        with picker.using(name):
            right[name] = answer(picker)
    assert not np.array_equal(right["aa"][2], right["bb"][2])
    return right


def run_together(works: list[threading.Thread]) -> None:
    for work in works:
        work.start()
    for work in works:
        work.join()


@both_backbones
def test_no_pick_mixes_adapters_while_others_load_reload_remove_and_switch(
    hurried: None, stem: StemConfig | None
) -> None:
    """Each answer is, bit for bit, that of the adapter it names, with that adapter's threshold."""
    right, picker, wrong, done = right_answers(stem), new_picker(stem=stem), [], []
    files = adapters_of(stem)
    double, graph = torch.cat([window()[0]] * 2), StationGraph.stack([window()[1]] * 2)
    with torch.inference_mode(), adapters_by_window(["aa", "bb"]):
        mixed = picker.backbone(double, graph)

    def same(found: tuple[str | None, float, NDArray[np.float32]]) -> bool:
        name, threshold, logits = right[found[0]]
        return found[:2] == (name, threshold) and np.array_equal(found[2], logits)

    def work(seed: int) -> None:
        draw = random.Random(seed)
        try:
            for _ in range(PICKS_A_THREAD):
                match draw.randrange(6):
                    case 0:
                        picker.add_adapter(files[draw.choice(NAMES)], activate=False)
                    case 1:
                        picker.set_adapter(draw.choice(("aa", "bb", None)))
                    case 2:
                        picker.add_adapter(files["cc"], name=f"own-{seed}", activate=False)
                        picker.remove_adapter(f"own-{seed}")
                    case 3:
                        name = draw.choice((*NAMES, None))
                        with picker.using(name):
                            found = answer(picker)
                            if found[0] != name or not same(found):
                                wrong.append(("using", name))
                    case 4:
                        with torch.inference_mode(), adapters_by_window(["aa", "bb"]):
                            if not torch.equal(picker.backbone(double, graph), mixed):
                                wrong.append(("mixed batch", None))
                if not same(answer(picker)):
                    wrong.append(("pick", None))
                done.append(seed)
        except Exception as error:
            wrong.append((type(error).__name__, str(error)))

    run_together([threading.Thread(target=work, args=(seed,)) for seed in range(THREADS)])
    assert wrong == []
    assert len(done) == THREADS * PICKS_A_THREAD


def test_first_loads_in_parallel_are_whole(hurried: None) -> None:
    for _ in range(10):
        picker, gate = new_picker(()), threading.Barrier(len(NAMES))

        def load(name: str, picker: Picker = picker, gate: threading.Barrier = gate) -> None:
            gate.wait()
            picker.add_adapter(STORED[name])

        run_together([threading.Thread(target=load, args=(name,)) for name in NAMES])
        assert picker.adapters == list(NAMES)
        for name in NAMES:
            there = resident_tensors(picker.backbone, name)
            assert there.keys() == STORED[name].tensors.keys()
            assert all(torch.equal(there[key], tensor) for key, tensor in STORED[name].tensors.items())


def test_set_adapter_is_for_picks_that_begin_afterwards_and_using_for_its_own_thread() -> None:
    picker = new_picker()
    picker.set_adapter("aa")
    elsewhere: list[str | None] = []
    with picker.using("bb"):
        picker.set_adapter("cc")
        thread = threading.Thread(target=lambda: elsewhere.append(picker.active_adapter))
        run_together([thread])
        assert picker.active_adapter == "bb"
        picker.remove_adapter("bb")
        assert np.array_equal(answer(picker)[2], right_answers()["bb"][2])  # keeps what it began with
    assert elsewhere == ["cc"]
    assert picker.active_adapter == "cc"
    with pytest.raises(AdapterError, match="'cc' is active"):
        picker.remove_adapter("cc")
    with pytest.raises(AdapterError, match="'bb' is not resident"):
        picker.set_adapter("bb")


@both_backbones
def test_a_pickers_backbone_keeps_the_names_of_the_plain_network(stem: StemConfig | None) -> None:
    assert list(new_picker(stem=stem).backbone.state_dict()) == list(small_phaseno(stem=stem).state_dict())
    assert isinstance(new_picker().backbone, PhaseNO)


def through_torch(picker: Picker) -> Picker:
    file = io.BytesIO()
    torch.save(picker, file)
    file.seek(0)
    found: Picker = torch.load(file, weights_only=False)
    return found


@both_backbones
@pytest.mark.parametrize(
    "journey",
    [lambda picker: pickle.loads(pickle.dumps(picker)), copy.deepcopy, copy.copy, through_torch],
    ids=["pickle", "deepcopy", "copy", "torch.save"],
)
def test_a_copied_or_unpickled_picker_picks_as_before(journey, stem) -> None:  # type: ignore[no-untyped-def]
    picker = new_picker(stem=stem)
    picker.set_adapter("bb")
    arrived = journey(picker)
    assert (arrived.adapters, arrived.active_adapter) == (picker.adapters, "bb")
    assert arrived.contract() == picker.contract()
    for name in (*NAMES, None):
        with picker.using(name), arrived.using(name):
            assert np.array_equal(answer(arrived)[2], answer(picker)[2])
    arrived.set_adapter("aa")
    assert picker.active_adapter == "bb"


def _answer_to(pipe, picker: Picker) -> None:  # type: ignore[no-untyped-def]
    pipe.send(answer(picker)[2])


def test_a_picker_can_be_sent_to_a_spawned_process() -> None:
    picker = new_picker()
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_answer_to, args=(there, picker))
    process.start()
    assert here.poll(120)
    assert np.array_equal(here.recv(), answer(picker)[2])
    process.join(60)
    assert process.exitcode == 0


def test_an_altered_pickle_of_a_picker_is_refused() -> None:
    picker = new_picker()
    make, (kind, network, thresholds, active) = picker.__reduce__()
    make(kind, network, thresholds, active)
    sent = network.adapters[0]
    key = next(iter(sent.tensors))
    altered = replace(sent, tensors=sent.tensors | {key: sent.tensors[key] + 1e-3})
    with pytest.raises(AdapterError, match="SHA-256"):
        make(kind, replace(network, adapters=(altered,)), thresholds, active)
    state = network.state | {"fc1.weight": network.state["fc1.weight"] + 1e-3}
    with pytest.raises(BackboneError, match="fingerprint"):
        make(kind, replace(network, state=state), thresholds, active)


@pytest.mark.parametrize("size", [3e38, 1e30])
def test_numbers_that_overflow_the_network_are_refused(size: float) -> None:
    picker = new_picker(("aa",))
    bad = replace(STORED["bb"], tensors={key: torch.full_like(t, size) for key, t in STORED["bb"].tensors.items()})
    with pytest.raises(AdapterError, match="not finite"):
        picker.add_adapter(bad)
    assert picker.adapters == ["aa"]
