"""Backbones on disk: a folder with `config.json`, `model.safetensors` and a card, loaded strictly or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from phaseno_peft.backbone.config import PhaseNOConfig
from phaseno_peft.backbone.network import PhaseNO
from phaseno_peft.contract import Thresholds
from phaseno_peft.errors import BackboneError
from phaseno_peft.files import lock, settle, sweep, write_file, write_folder
from phaseno_peft.files.manifest import MANIFEST, write_manifest
from phaseno_peft.files.tensors import read_safetensors, to_safetensors
from phaseno_peft.hub import Kind, Published, fetch, hub_name, publish
from phaseno_peft.paths import ASSETS, user_folder
from phaseno_peft.schema import Count, Digest, Word, checked, read_object, strict

EMBEDDED = "phaseno-open"
"""The backbone shipped inside the package."""
FORMAT = "phaseno-peft-backbone/1"
LARGEST_CONFIG_BYTES = 1 << 20
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
BACKBONE = Kind(
    noun="a backbone",
    marker=CONFIG,
    weights=WEIGHTS,
    largest_bytes={MANIFEST: 1 << 20, CONFIG: 1 << 20, WEIGHTS: 1 << 28, CARD: 1 << 20},
    largest_sum_bytes=260 << 20,
)
_CARD_METADATA = """---
library_name: phaseno-peft
tags: ["phaseno-peft-backbone", "phaseno", "seismology", "phase-picking"]
---

"""


@strict
@dataclass(frozen=True, slots=True)
class _ConfigFile:
    """`config.json` as it is written."""

    format: Word
    name: Word
    architecture: dict[str, Any]
    """See `PhaseNOConfig`, which checks it."""
    n_parameters: Count
    fingerprint: Digest
    thresholds: Thresholds


@dataclass(frozen=True, slots=True)
class BackboneCard:
    """What `config.json` says of a backbone."""

    name: str
    config: PhaseNOConfig
    fingerprint: str
    n_parameters: int
    folder: Path
    thresholds: dict[str, float]


def user_backbones() -> Path:
    """Where fetched backbones are kept: `$PHASENO_PEFT_HOME/backbones`, else in the platform's data folder."""
    return user_folder() / "backbones"


def list_backbones() -> list[str]:
    """Names of the backbones shipped inside the package and of those the user has fetched."""
    sweep(user_backbones())
    folders = [*ASSETS.iterdir(), *(user_backbones().iterdir() if user_backbones().is_dir() else [])]
    named = (folder for folder in folders if not folder.name.startswith("."))
    return sorted({folder.name for folder in named if (folder / "config.json").is_file()})


def backbone_folder(name_or_path: str | Path) -> Path:
    """Folder of a path, of an embedded or fetched backbone's name, or of `org/repo[@revision]` on the Hub.

    Raises `BackboneError` naming what there is, and `HubError`.
    """
    folders = [Path(name_or_path)]
    if Path(name_or_path).name == str(name_or_path):
        folders += [ASSETS / str(name_or_path), user_backbones() / str(name_or_path)]
    for folder in folders:
        settle(folder)
        if (folder / "config.json").is_file():
            return folder
    if (hub := hub_name(str(name_or_path))) is not None:
        return fetch(hub, BACKBONE).folder
    raise BackboneError(
        f"backbone {str(name_or_path)!r} is neither a folder with config.json and model.safetensors nor one of "
        f"these: {', '.join(list_backbones())}. `phaseno-peft backbone fetch` downloads the authors' weights; "
        "org/repo loads one from the Hub."
    )


def backbone_info(name_or_path: str | Path = EMBEDDED) -> BackboneCard:
    """`config.json` of a backbone, without loading its weights."""
    folder = backbone_folder(name_or_path)
    path = folder / "config.json"
    try:
        raw = read_object(path, LARGEST_CONFIG_BYTES)
        if (found := raw.get("format")) != FORMAT:
            raise BackboneError(f"{path}: format is {found!r}, this phaseno-peft reads {FORMAT!r}.")
        written = checked(_ConfigFile, raw)
    except ValueError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise BackboneError(f"{path}: not a backbone's config.json ({reason}). Fetch the backbone again.") from error
    return BackboneCard(
        name=written.name,
        config=PhaseNOConfig.from_json(written.architecture),
        fingerprint=written.fingerprint,
        n_parameters=written.n_parameters,
        folder=folder,
        thresholds=written.thresholds,
    )


def load_backbone(name_or_path: str | Path = EMBEDDED, device: str | torch.device = "cpu") -> PhaseNO:
    """A frozen PhaseNO in evaluation mode, its weights checked against the fingerprint in its `config.json`.

    The name is an embedded or fetched backbone's, a folder's, or `org/repo[@revision]` on the Hub. Raises `HubError`,
    and `BackboneError` for missing, left-over, misshapen or non-finite tensors and for altered files.
    """
    card = backbone_info(name_or_path)
    _refuse_larger(card)
    model = PhaseNO(card.config)
    apply_state(model, read_tensors(card.folder / "model.safetensors"), str(card.folder / "model.safetensors"))
    if (seen := fingerprint(model)) != card.fingerprint:
        raise BackboneError(
            f"{card.folder}: the weights' fingerprint is {seen[:12]}, config.json says {card.fingerprint[:12]}. "
            "The file was altered or mixed up; fetch the backbone again."
        )
    model.name_or_path = card.name
    return model.to(device).eval().requires_grad_(False)


def _refuse_larger(card: BackboneCard) -> None:
    """Raise `BackboneError` where `config.json` asks for far more numbers than the file of weights can hold."""
    path, sizes, stem = card.folder / "model.safetensors", card.config, card.config.stem
    needed_bytes = 8 * sizes.modes * sizes.width**2  # the smallest of seven spectral kernels
    if stem is not None:
        needed_bytes += 4 * stem.kernel_samples * (stem.channels * 2 ** (stem.levels - 1)) ** 2  # its widest level
    if path.is_file() and needed_bytes > path.stat().st_size:
        raise BackboneError(
            f"{path}: {path.stat().st_size} bytes, too few for the sizes in config.json. "
            "The file was cut short or belongs to another config.json; fetch the backbone again."
        )


def refuse_existing(folder: Path) -> None:
    """Raise `BackboneError` if `folder` is taken, once what a killed process left there is cleared away."""
    with lock(folder, "writing"):
        if folder.exists():
            raise BackboneError(f"{folder}: exists already. Remove it, or choose another folder.")


def save_backbone(
    model: PhaseNO,
    folder: str | Path,
    name: str,
    thresholds: Mapping[str, float],
    card: str = "",
    *,
    overwrite: bool = False,
    also: Callable[[Path], object] = lambda _: None,
) -> Path:
    """Write `model.safetensors`, `config.json` and `README.md`; the folder appears whole or not at all.

    also: writes further files into it. Raises `BackboneError` if the folder exists and `overwrite` is False.
    """
    folder = Path(folder)
    if not overwrite:
        refuse_existing(folder)
    config = {
        "format": FORMAT,
        "name": name,
        "architecture": model.phaseno_config.to_json(),
        "n_parameters": sum(p.numel() for p in model.parameters()),
        "fingerprint": fingerprint(model),
        "thresholds": dict(thresholds),
    }
    with write_folder(folder, overwrite=overwrite) as part:
        write_file(part / WEIGHTS, to_safetensors(model.state_dict(), {"format": "pt"}))
        write_file(part / "config.json", json.dumps(config, indent=2) + "\n")
        write_file(part / "README.md", card or f"# {name}\n")
        also(part)
    return folder


def push_backbone(
    name_or_path: str | Path,
    repository: str,
    *,
    tag: str | None = None,
    public: bool = False,
    overwrite: bool = False,
) -> Published:
    """Push a backbone of this machine to the Hub in one commit: weights, `config.json`, card and manifest.

    A repository that does not exist is made, private unless `public`; one that everybody sees is refused unless
    `public`, one that holds another backbone unless `overwrite`. Others load it by `load_backbone("org/repo@tag")`.
    Raises `BackboneError` and `HubError`.
    """
    card = backbone_info(name_or_path)
    load_backbone(card.folder)  # nothing damaged is sent
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for file in (CONFIG, WEIGHTS, CARD):
            shutil.copyfile(card.folder / file, folder / file)
        text = (folder / CARD).read_text(encoding="utf-8")
        if not text.startswith("---\n"):
            (folder / CARD).write_text(f"{_CARD_METADATA}{text}", encoding="utf-8")
        write_manifest(folder, card.name, (CONFIG, WEIGHTS, CARD))
        return publish(folder, repository, BACKBONE, overwrite=overwrite, public=public, tag=tag)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file, complex ones put together again, floats as float32."""
    try:
        tensors, _ = read_safetensors(path)
    except FileNotFoundError as error:
        raise BackboneError(f"{path}: no such file. Fetch the backbone again.") from error
    except (OSError, ValueError) as error:
        raise BackboneError(f"{path}: {error}. Fetch the backbone again.") from error
    return {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}


def apply_state(model: PhaseNO, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Copy `tensors` into `model` once every name, shape, kind and value is right; else copy nothing."""
    expected = model.state_dict()
    has_stem, wants_stem = any(_of_stem(key) for key in tensors), model.stem is not None
    if has_stem and not wants_stem:
        raise BackboneError(
            f"{origin}: holds a stem's tensors, but the config describes no `stem`. The config is of another backbone; "
            "fetch both together."
        )
    if wants_stem and not has_stem:
        raise BackboneError(
            f"{origin}: the config describes a `stem`, but no tensor of one is in the file. The file is of another "
            "backbone; fetch both together."
        )
    if missing := sorted(set(expected) - set(tensors)):
        raise BackboneError(
            f"{origin}: {len(missing)} tensors of PhaseNO are missing, the first is {missing[0]}. "
            "This is the file of another model, or cut short."
        )
    if surplus := sorted(set(tensors) - set(expected)):
        raise BackboneError(f"{origin}: {len(surplus)} tensors are not PhaseNO's, the first is {surplus[0]}.")
    for key, tensor in tensors.items():
        if tensor.shape != expected[key].shape or tensor.dtype != expected[key].dtype:
            raise BackboneError(
                f"{origin}: {key} is {tensor.dtype} {list(tensor.shape)}, PhaseNO needs "
                f"{expected[key].dtype} {list(expected[key].shape)}."
            )
        if not bool(torch.isfinite(torch.view_as_real(tensor) if tensor.is_complex() else tensor).all()):
            raise BackboneError(f"{origin}: {key} holds NaN or infinite values. Use another checkpoint.")
        if key.startswith("stem.") and key.endswith(".variance") and bool((tensor < 0).any()):
            raise BackboneError(f"{origin}: {key} holds negative variances. Use another checkpoint.")
    model.load_state_dict(dict(tensors), strict=True)


def _of_stem(key: str) -> bool:
    return key in ("skip", "focus") or key.startswith("stem.")


def fingerprint(model: torch.nn.Module) -> str:
    """SHA-256 over sorted names, kinds, shapes and bytes of a backbone's own weights.

    An adapter wrapped around the backbone does not change it: wrapped layers are read through their base layer.
    """
    digest = hashlib.sha256()
    tensors = {}
    for key, tensor in model.state_dict().items():
        if "crlora_" in key:
            continue
        tensors[key.replace(".base_layer.", ".")] = tensor
    for key in sorted(tensors):
        tensor = tensors[key].detach().cpu().contiguous()
        tensor = torch.view_as_real(tensor) if tensor.is_complex() else tensor
        digest.update(f"{key} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
