"""Adapters as folders: written whole or not at all, read strictly, found by name in the user's library.

A folder holds `adapter_config.json` (settings and contract), `adapter_model.safetensors`, `README.md` (the card) and
`evaluation.json`: PEFT's names, so that `PeftModel.from_pretrained` reads it too. Nothing that is read can execute.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phaseno_peft.contract import Contract
from phaseno_peft.errors import AdapterError
from phaseno_peft.library.names import check_name
from phaseno_peft.places import user_folder

if TYPE_CHECKING:
    from torch import Tensor

    from phaseno_peft.cr_lora import CRLoraSettings

CONFIG, WEIGHTS, CARD, EVALUATION = "adapter_config.json", "adapter_model.safetensors", "README.md", "evaluation.json"
LARGEST_JSON_BYTES = 4 << 20
LARGEST_WEIGHTS_BYTES = 64 << 20


@dataclass(frozen=True)
class StoredAdapter:
    """An adapter read from its folder and checked in itself; `cr_lora.attach` checks it against a backbone."""

    name: str
    folder: Path
    settings: CRLoraSettings
    contract: Contract
    tensors: dict[str, Tensor]


def library_folder() -> Path:
    """Where the user's adapters live: `$PHASENO_PEFT_HOME/adapters`, else the platform's data folder."""
    return user_folder() / "adapters"


def list_adapters() -> list[str]:
    """Names in the user's library."""
    folder = library_folder()
    return sorted(p.name for p in folder.iterdir() if (p / CONFIG).is_file()) if folder.is_dir() else []


def adapter_folder(name_or_path: str | Path) -> Path:
    """Folder of an adapter: a path to one, or a name in the user's library.

    Raises `AdapterError` that lists the nearest names.
    """
    path = Path(name_or_path).expanduser()
    if (path / CONFIG).is_file():
        return path
    if path.is_dir():
        raise AdapterError(f"{path}: not an adapter, it has no {CONFIG}. Give the folder that train-adapter wrote.")
    name = str(name_or_path)
    if path.name == name and not name.startswith("."):
        folder = library_folder() / check_name(name)
        if (folder / CONFIG).is_file():
            return folder
    known = list_adapters()
    near = difflib.get_close_matches(name, known, n=3) or known[:5]
    hint = (
        f"Nearest: {', '.join(near)}." if near else "The library is empty: train one with `phaseno-peft train-adapter`."
    )
    raise AdapterError(f"no adapter {name!r}, neither as a folder nor in {library_folder()}. {hint}")


def read_config(folder: Path) -> tuple[CRLoraSettings, Contract]:
    """Settings and contract of the adapter in `folder`, without its tensors."""
    from phaseno_peft.cr_lora import CRLoraSettings

    path = folder / CONFIG
    raw = read_json(path)
    try:
        settings = CRLoraSettings.from_adapter_config(raw)
        if settings.contract is None:
            raise AdapterError("it has no contract, so nothing says which data and backbone it fits. Train it again.")
        return settings, Contract.from_json(settings.contract)
    except AdapterError as error:
        raise AdapterError(f"{path}: {error}") from error


def read_adapter(name_or_path: str | Path) -> StoredAdapter:
    """Read an adapter strictly. Raises `AdapterError` for anything missing, surplus, too large or altered."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = adapter_folder(name_or_path)
    settings, contract = read_config(folder)
    path = folder / WEIGHTS
    _check_size(path, LARGEST_WEIGHTS_BYTES)
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise AdapterError(f"{path}: not a readable safetensors file ({error}). Fetch the adapter again.") from error
    if (seen := tensors_sha256(tensors)) != contract.tensors_sha256:
        raise AdapterError(
            f"{path}: the tensors' SHA-256 is {seen[:12]}, the contract says {contract.tensors_sha256[:12]}. The file "
            "was altered or belongs to another adapter; fetch it again."
        )
    return StoredAdapter(folder.resolve().name, folder, settings, contract, tensors)


def write_adapter(
    folder: Path,
    settings: CRLoraSettings,
    contract: Contract,
    tensors: Mapping[str, Tensor],
    card: str,
    files: Mapping[str, Path],
    *,
    overwrite: bool = False,
) -> Path:
    """Write an adapter's folder; it appears whole or not at all, and an old one stays until the new one is complete.

    files: name in the folder -> file to copy there, `evaluation.json` among them. Raises `AdapterError` if the folder
    exists and `overwrite` is False.
    """
    from safetensors.torch import save_file

    from phaseno_peft.cr_lora.settings import PEFT_TYPE

    check_name(folder.name)
    refuse_existing(folder, overwrite=overwrite)
    contract = dataclasses.replace(contract, tensors_sha256=tensors_sha256(tensors))
    config = {
        "peft_type": PEFT_TYPE,
        "task_type": None,
        "auto_mapping": None,
        "peft_version": contract.versions.get("peft"),
        "base_model_name_or_path": contract.backbone_name,
        "revision": None,
        "inference_mode": True,
        **{
            field.name: getattr(settings, field.name)
            for field in dataclasses.fields(type(settings))
            if field.name in _own()
        },
        "contract": contract.to_json(),
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        part.chmod(0o755)
        save_file({k: t.detach().cpu().contiguous() for k, t in sorted(tensors.items())}, part / WEIGHTS)
        (part / WEIGHTS).chmod(0o644)
        (part / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        (part / CARD).write_text(card, encoding="utf-8")
        for name, source in files.items():
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, part / name)
        _put_in_place(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def refuse_existing(folder: Path, *, overwrite: bool) -> None:
    """Raise `AdapterError` if `folder` is taken; asked before training, not after."""
    if folder.exists() and not overwrite:
        raise AdapterError(f"{folder}: exists already. Choose another name, or replace it with --overwrite.")


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over sorted names, kinds, shapes and bytes."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        tensor = tensors[key].detach().cpu().contiguous()
        digest.update(f"{key} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of bounded size. Raises `AdapterError` naming the file."""
    _check_size(path, LARGEST_JSON_BYTES)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AdapterError(f"{path}: not readable as JSON ({error}). Fetch the adapter again.") from error
    if not isinstance(raw, dict):
        raise AdapterError(f"{path}: holds a {type(raw).__name__}, expected an object. Fetch the adapter again.")
    return raw


def _own() -> set[str]:
    from phaseno_peft.cr_lora import CRLoraSettings

    return {field.name for field in dataclasses.fields(CRLoraSettings)}


def _check_size(path: Path, largest_bytes: int) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise AdapterError(f"{path}: no such file. Fetch or train the adapter again.") from error
    if size > largest_bytes:
        raise AdapterError(f"{path}: {size} bytes, more than the {largest_bytes} an adapter may have.")


def _put_in_place(part: Path, folder: Path) -> None:
    """Rename `part` to `folder`, keeping what was there until the new one stands."""
    if not folder.exists():
        os.replace(part, folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
    os.replace(folder, old / folder.name)
    try:
        os.replace(part, folder)
    except OSError:
        os.replace(old / folder.name, folder)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
