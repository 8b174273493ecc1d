"""The folds' adapters beside an adapter: stored and read strictly, shared only on request, and used as one."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from obspy import UTCDateTime

from phaseno_peft.campaign import Campaign, read_waveforms
from phaseno_peft.errors import AdapterError
from phaseno_peft.evaluation.judge import judge
from phaseno_peft.files.manifest import MANIFEST, write_manifest
from phaseno_peft.library import StoredAdapter, read_adapter, verify_adapters, what_push_reveals, write_adapter
from phaseno_peft.library.card import Card
from phaseno_peft.library.folds import FoldAdapter, has_folds, read_folds, write_folds
from phaseno_peft.library.store import EVALUATION, listed_files
from phaseno_peft.picking import PickList, load_adapter
from phaseno_peft.picking.ensemble import moved_curves, with_spread
from phaseno_peft.picking.inference import ensemble_probabilities
from phaseno_peft.picks import Pick

T0 = UTCDateTime(2020, 1, 1)
BY_S = {"P": 0.2, "S": 0.2}
SHIFTS_S = ({"P": 0.01, "S": 0.0}, {"P": 0.03, "S": -0.02}, {"P": 0.02, "S": 0.05})


@pytest.fixture(scope="module")
def stored(adapter_home: Path) -> StoredAdapter:
    return read_adapter(adapter_home / "adapters" / "tiny-ohio")


@pytest.fixture(scope="module")
def folds(stored: StoredAdapter) -> list[FoldAdapter]:
    """Three adapters that differ a little."""
    return [
        FoldAdapter({key: tensor * (1.0 + 0.3 * i) for key, tensor in stored.tensors.items()}, shift_s)
        for i, shift_s in enumerate(SHIFTS_S)
    ]


@pytest.fixture
def folder(stored: StoredAdapter, folds: list[FoldAdapter], tmp_path: Path) -> Path:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    files = {EVALUATION: stored.folder / EVALUATION, **write_folds(scratch, folds)}
    card = Card("with-folds", stored.settings, stored.contract, {}, {}, [])
    return write_adapter(tmp_path / "with-folds", stored.settings, stored.contract, stored.tensors, card, files)


def test_folds_are_read_back_each_with_its_own_shift(folder: Path, folds: list[FoldAdapter]) -> None:
    assert has_folds(folder)
    back = read_folds(read_adapter(folder))
    assert [one.contract.pick_shift_s for one in back] == list(SHIFTS_S)
    for one, fold in zip(back, folds, strict=True):
        assert all(bool((one.tensors[key] == tensor).all()) for key, tensor in fold.tensors.items())
    assert {"folds.json", "folds/1.safetensors", "folds/3.safetensors"} <= set(listed_files(folder))


def test_what_is_not_stored_cannot_be_an_ensemble(stored: StoredAdapter, small_backbone: Path) -> None:
    assert not has_folds(stored.folder)
    with pytest.raises(AdapterError, match="adapters of its folds are not stored"):
        load_adapter(stored.folder, backbone=small_backbone, ensemble=True)


@pytest.mark.parametrize("how", ["altered", "missing", "exchanged", "elsewhere", "version"])
def test_a_damaged_fold_is_refused_and_the_adapter_itself_still_loads(
    folder: Path, how: str, small_backbone: Path
) -> None:
    raw = json.loads((folder / "folds.json").read_text())
    relisted = True
    if how == "altered":
        path = folder / "folds" / "2.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"\x01")
        relisted, words = False, "2.safetensors: the SHA-256 is"
    elif how == "missing":
        (folder / "folds" / "2.safetensors").unlink()
        relisted, words = False, "2.safetensors: is missing"
    elif how == "exchanged":
        first, second = (folder / "folds" / f"{i}.safetensors" for i in (1, 2))
        content = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(content)
        words = "the tensors' SHA-256 is"
    elif how == "elsewhere":
        raw["folds"][0]["file"] = "../adapter_model.safetensors"
        words = "is no file of a fold"
    else:
        raw["folds_version"] = 2
        words = "folds_version"
    if how in ("elsewhere", "version"):
        (folder / "folds.json").write_text(json.dumps(raw))
    if relisted:  # a manifest that agrees does not help
        write_manifest(folder, folder.name, [file for file in listed_files(folder) if file != MANIFEST])
    with pytest.raises(AdapterError, match=words):
        load_adapter(folder, backbone=small_backbone, ensemble=True)
    assert load_adapter(folder, backbone=small_backbone).active_adapter == "with-folds"


def test_folds_are_pushed_only_on_request(folder: Path) -> None:
    for share in ("minimal", "all"):
        without, along = (
            what_push_reveals(folder, "lab/with-folds", share=share, folds=folds).files  # type: ignore[arg-type]
            for folds in (False, True)
        )
        own = {"folds.json", *(f"folds/{i}.safetensors" for i in (1, 2, 3))}
        assert set(along) - set(without) == own
        assert not own & set(without)


def test_pushing_folds_that_were_not_kept_is_refused(stored: StoredAdapter) -> None:
    with pytest.raises(AdapterError, match="has no folds to push along"):
        what_push_reveals(stored.folder, "lab/tiny-ohio", folds=True)


def test_a_damaged_fold_is_found_by_verifying(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "home" / "adapters"
    home.mkdir(parents=True)
    folder.rename(home / folder.name)
    monkeypatch.setenv("PHASENO_PEFT_HOME", str(tmp_path / "home"))
    assert not any(found.problems for found in verify_adapters())
    (home / folder.name / "folds" / "1.safetensors").write_bytes(b"nothing")
    assert any("1.safetensors" in problem for found in verify_adapters() for problem in found.problems)


def test_an_ensemble_is_the_mean_of_its_members_wherever_it_picks(
    folder: Path, small_backbone: Path, campaign_folder: Path
) -> None:
    stream = next(iter(read_waveforms(campaign_folder / "waveforms").values()))
    stations = campaign_folder / "stations.xml"
    picker = load_adapter(folder, backbone=small_backbone, ensemble=True)
    own_shift_s = load_adapter(folder, backbone=small_backbone).adapter_contract.pick_shift_s
    assert picker.adapter_contract.pick_shift_s == own_shift_s
    together = picker.annotation(stream, stations)
    assert len(together.members) == 3
    mean = np.mean([member.probabilities for member in together.members], axis=0)
    np.testing.assert_allclose(together.probabilities, mean, atol=1e-6)
    assert np.ptp([np.nanmax(member.probabilities) for member in together.members]) > 0  # they differ
    adapter = picker.in_force
    assert adapter is not None
    for member, curves in zip(adapter.members, together.members, strict=True):
        with picker._holding(member):
            alone = picker.annotation(stream, stations)
        assert curves.contract is not None
        assert curves.contract.pick_shift_s == own_shift_s
        assert alone.contract is not None
        for row, phase in enumerate(("P", "S")):  # where the ensemble's shift finds the picks of the member's own
            later = (alone.contract.pick_shift_s[phase] - own_shift_s[phase]) * 100
            at, inside = np.arange(alone.probabilities.shape[-1]), slice(100, -100)
            moved = np.array([np.interp(at - later, at, curve) for curve in alone.probabilities[:, row]])
            np.testing.assert_allclose(curves.probabilities[:, row, inside], moved[:, inside], atol=0.01)
    for other in (pickle.loads(pickle.dumps(picker)), copy.deepcopy(picker)):
        again = other.annotation(stream, stations)
        np.testing.assert_array_equal(again.probabilities, together.probabilities)
    level = float(np.nanquantile(together.probabilities, 0.98))
    blocks = picker.iter_annotations(stream, stations, block_s=30.0)
    whole = picker.picks(together, P_threshold=level, S_threshold=level)
    assert [(p.time, p.spread_s) for p in picker.picks(blocks, P_threshold=level, S_threshold=level)] == [
        (p.time, pytest.approx(p.spread_s, nan_ok=True)) for p in whole
    ]
    assert any(np.isfinite(p.spread_s) for p in whole)


def test_judging_an_ensemble_judges_the_mean(folder: Path, small_backbone: Path, campaign_folder: Path) -> None:
    campaign = Campaign.read(
        campaign_folder / "waveforms", campaign_folder / "stations.xml", campaign_folder / "picks.xml", name="ohio"
    )
    picker = load_adapter(folder, backbone=small_backbone, ensemble=True)
    adapter = picker.in_force
    assert adapter is not None
    found = judge(picker, campaign).predictions["adapter"]
    windows = found.windows[:2]
    edge_limit_km = picker.adapter_contract.frame.edge_limit_km
    each = ensemble_probabilities(picker.backbone, windows, edge_limit_km, adapter)
    for mean, judged in zip(each, found.probabilities, strict=False):
        np.testing.assert_allclose(mean, judged, atol=1e-6)


def test_the_spread_is_that_of_the_members_picks_near_and_not_of_others(tmp_path: Path) -> None:
    def pick(at_s: float, phase: str = "P") -> Pick:
        return Pick("XX.A.", phase, T0 + at_s, 0.6, 0.05)

    members = [[pick(9.9), pick(30.0)], [pick(10.1), pick(10.4)], [pick(10.0, "S")]]
    near, alone = with_spread([pick(10.0), pick(30.0)], members, 0.5)
    assert near.spread_s == pytest.approx(np.std([-0.1, 0.1], ddof=1))
    assert np.isnan(alone.spread_s)
    path = PickList([near, alone]).to_csv(tmp_path / "a.csv")
    assert path.read_text().splitlines()[0].endswith("uncertainty_s,spread_s")
    back = PickList.from_csv(path)
    assert back[0].spread_s == pytest.approx(near.spread_s, abs=1e-6)
    assert np.isnan(back[1].spread_s)
    assert "spread_s" not in PickList([alone]).to_csv(tmp_path / "b.csv").read_text()


def test_members_whose_shifts_differ_do_not_blunt_the_mean() -> None:
    at = np.arange(400, dtype=np.float32)

    def curves(centre: float) -> np.ndarray:
        return np.exp(-0.5 * ((at - centre) / 10) ** 2)[None, None].repeat(2, axis=1).astype(np.float32)

    one, other = moved_curves(curves(200), {"P": 0.0, "S": 0.0}, 100.0), moved_curves(curves(180), BY_S, 100.0)
    mean = (one + other) / 2
    assert mean.max(axis=-1) == pytest.approx(1.0, abs=1e-3)
    assert mean.argmax(axis=-1).tolist() == [[200, 200]]
    half = moved_curves(curves(200), {"P": 0.005, "S": 0.0}, 100.0)
    assert float((half[0, 0] * at).sum() / half[0, 0].sum()) == pytest.approx(200.5, abs=1e-3)
    assert np.array_equal(half[0, 1], curves(200)[0, 1])
