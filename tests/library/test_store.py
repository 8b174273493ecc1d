"""Adapters on disk: read strictly, written whole, found by name."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from phaseno_peft.errors import AdapterError, PhasenoPeftError
from phaseno_peft.library import adapter_folder, check_name, library_folder, list_adapters, read_adapter, write_adapter
from phaseno_peft.library.card import Card


@pytest.fixture
def copy(adapter_home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(adapter_home / "adapters" / "tiny-ohio", tmp_path / "tiny-ohio"))


def test_an_adapter_is_found_by_name_and_by_folder(home: Path, copy: Path) -> None:
    assert list_adapters() == ["tiny-ohio"]
    assert adapter_folder("tiny-ohio") == library_folder() / "tiny-ohio"
    assert adapter_folder(copy) == copy
    assert read_adapter("tiny-ohio").contract == read_adapter(copy).contract


def test_a_folder_that_is_no_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"has no adapter_config\.json"):
        adapter_folder(tmp_path)


@pytest.mark.parametrize(
    "name", ["a", "A-b", "a--b", "-a", "a-", "a_b", "a/b", "..", "a.b", "x" * 65, "fno0", "edge", ""]
)
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(AdapterError, match="adapter name"):
        check_name(name)


@pytest.mark.parametrize("name", ["ohio-frac", "samba-nz", "c1", "2024-05-pad-7"])
def test_good_names_pass(name: str) -> None:
    assert check_name(name) == name


@pytest.fixture
def unlisted(copy: Path) -> Path:
    """A copy without manifest, as somebody puts one together by hand."""
    (copy / "manifest.json").unlink()
    return copy


def change_config(folder: Path, **changes: object) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_an_altered_tensor_of_the_same_size_is_refused(unlisted: Path) -> None:
    file = unlisted / "adapter_model.safetensors"
    tensors = load_file(file)
    size = file.stat().st_size
    key = sorted(tensors)[0]
    tensors[key] = tensors[key] + 1e-6
    save_file(tensors, file)
    assert file.stat().st_size == size
    with pytest.raises(AdapterError, match="SHA-256"):
        read_adapter(unlisted)


def test_damaged_files_are_refused_by_name(unlisted: Path) -> None:
    weights = (unlisted / "adapter_model.safetensors").read_bytes()
    (unlisted / "adapter_model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(AdapterError, match=r"adapter_model\.safetensors: not a readable safetensors"):
        read_adapter(unlisted)
    (unlisted / "adapter_model.safetensors").unlink()
    with pytest.raises(AdapterError, match="no such file"):
        read_adapter(unlisted)
    os.mkfifo(unlisted / "adapter_model.safetensors")  # nobody will ever write into it
    with pytest.raises(AdapterError, match="no such file"):
        read_adapter(unlisted)
    (unlisted / "adapter_config.json").write_text("{")
    with pytest.raises(AdapterError, match=r"adapter_config\.json: not readable as JSON"):
        read_adapter(unlisted)


def test_a_header_of_gigabytes_is_refused_without_reading_it(unlisted: Path) -> None:
    (unlisted / "adapter_model.safetensors").write_bytes((2**40).to_bytes(8, "little") + b"{}")
    with pytest.raises(AdapterError, match="not a readable safetensors"):
        read_adapter(unlisted)


def test_an_adapter_without_contract_or_of_a_newer_contract_is_refused(unlisted: Path) -> None:
    contract = json.loads((unlisted / "adapter_config.json").read_text())["contract"]
    change_config(unlisted, contract=contract | {"contract_version": 99})
    with pytest.raises(AdapterError, match="contract version is 99"):
        read_adapter(unlisted)
    change_config(unlisted, contract={k: v for k, v in contract.items() if k != "thresholds"})
    with pytest.raises(AdapterError, match="contract is damaged"):
        read_adapter(unlisted)
    change_config(unlisted, contract=None)
    with pytest.raises(AdapterError, match="no contract"):
        read_adapter(unlisted)


def test_no_value_of_the_config_makes_reading_fail_otherwise_than_in_a_sentence(unlisted: Path) -> None:
    path = unlisted / "adapter_config.json"
    config = json.loads(path.read_text())
    for key, owner in [(key, config) for key in config] + [(key, config["contract"]) for key in config["contract"]]:
        good = owner[key]
        for bad in (None, [], {}, "x", -1, 1e309, True):
            owner[key] = bad
            path.write_text(json.dumps(config))
            with contextlib.suppress(AdapterError):  # anything else is a failure
                read_adapter(unlisted)
        owner[key] = good


@pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_byte_changed_in_config_or_weights_is_refused_before_they_are_read(copy: Path, file: str) -> None:
    content = bytearray((copy / file).read_bytes())
    content[-5] ^= 1
    (copy / file).write_bytes(content)
    with pytest.raises(AdapterError, match=rf"{file}: the SHA-256 is .*manifest.json says"):
        read_adapter(copy)


def test_a_manifest_that_is_damaged_newer_or_points_outside_is_refused(copy: Path) -> None:
    path = copy / "manifest.json"
    raw = json.loads(path.read_text())
    outside = raw | {"files": raw["files"] | {"../../secret": {"bytes": 1, "sha256": "0" * 64}}}
    for text, message in (
        ("[]", "holds a list, expected an object"),
        ("[" * 100_000, "too deep"),
        ('{"manifest_version": 1, "manifest_version": 1}', "is given twice"),
        (json.dumps(raw | {"manifest_version": 2}), "manifest version is 2, this phaseno-peft reads 1"),
        (json.dumps(outside), "lists a file outside its folder"),
        (json.dumps(raw | {"files": {}}), "is not listed in manifest.json"),
    ):
        path.write_text(text)
        with pytest.raises(AdapterError, match=message):
            read_adapter(copy)


def test_writing_fails_whole_and_keeps_the_old_adapter(copy: Path, tmp_path: Path) -> None:
    stored = read_adapter(copy)
    tensors = {key: torch.zeros_like(tensor) for key, tensor in stored.tensors.items()}
    card = Card("tiny-ohio", stored.settings, stored.contract, {}, {}, [])
    with pytest.raises(AdapterError, match="exists already"):
        write_adapter(copy, stored.settings, stored.contract, tensors, card, {})
    with pytest.raises(FileNotFoundError):  # a file to copy is missing: nothing of the new adapter may appear
        write_adapter(
            copy, stored.settings, stored.contract, tensors, card, {"x.png": tmp_path / "none"}, overwrite=True
        )
    assert read_adapter(copy).contract == stored.contract
    assert [p.name for p in tmp_path.iterdir()] == ["tiny-ohio"]
    write_adapter(copy, stored.settings, stored.contract, tensors, card, {}, overwrite=True)
    assert not any(tensor.any() for tensor in read_adapter(copy).tensors.values())
    assert [p.name for p in tmp_path.iterdir()] == ["tiny-ohio"]


def test_an_adapter_replaces_nothing_but_an_adapter(copy: Path, tmp_path: Path) -> None:
    stored = read_adapter(copy)
    card = Card("tiny-ohio", stored.settings, stored.contract, {}, {}, [])
    (tmp_path / "waveforms").mkdir()
    (tmp_path / "waveforms" / "1.mseed").write_text("a campaign's")
    (tmp_path / "thesis").write_text("years of work")
    for taken, said in (("waveforms", "holds no adapter"), ("thesis", "is no folder")):
        with pytest.raises(PhasenoPeftError, match=said):
            write_adapter(tmp_path / taken, stored.settings, stored.contract, stored.tensors, card, {}, overwrite=True)
    assert (tmp_path / "waveforms" / "1.mseed").is_file()
    assert (tmp_path / "thesis").is_file()
