"""Folders of adapters, altered: by accident, by hand, or by somebody who makes digests and manifest agree again."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from benchmarks.attack.odd_values import RAW, damaged, dumped, edited, odd_json, odd_text
from phaseno_peft.contract import tensors_sha256

CONFIG, WEIGHTS, MANIFEST = "adapter_config.json", "adapter_model.safetensors", "manifest.json"
FILES = (CONFIG, WEIGHTS, MANIFEST, "README.md", "card.json", "evaluation.json")


@dataclass
class Alteration:
    """What was done to a folder."""

    folder: Path
    rng: np.random.Generator
    other_adapter: Path
    """Another adapter, for mixing."""
    mark: Path
    """A file that appears if a pickle is executed."""
    what: list[str]
    forged: bool = False
    """True where nothing in the folder contradicts itself any more: it may be loaded, as what it says."""

    def read(self, name: str) -> bytes:
        """A file's content, b"" if it is none by now."""
        path = self.folder / name
        return path.read_bytes() if path.is_file() else b""

    def write(self, name: str, content: bytes) -> None:
        """Replace a file, whatever lies there."""
        self.remove(name)
        (self.folder / name).write_bytes(content)

    def remove(self, name: str) -> None:
        """Remove a file or folder."""
        path = self.folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def json(self, name: str) -> Any:
        """A file's JSON, {} if it has none."""
        try:
            return json.loads(self.read(name))
        except (ValueError, RecursionError):
            return {}


def alter(folder: Path, rng: np.random.Generator, other_adapter: Path, mark: Path) -> Alteration:
    """Alter the adapter in `folder` in one to three ways; in half of the cases what is checked is made to agree."""
    done = Alteration(folder, rng, other_adapter, mark, [])
    for _ in range(int(rng.choice([1, 1, 2, 3]))):
        weights = np.array([weight for _, weight in _WAYS], float)
        way = _WAYS[int(rng.choice(len(_WAYS), p=weights / weights.sum()))][0]
        done.what.append(way(done))
    if rng.random() < 0.5:
        _forge(done)
    return done


def _forge(done: Alteration) -> None:
    """Write the digests anew, of tensors in the contract and of files in the manifest, as far as they can be read."""
    config = done.json(CONFIG)
    try:
        tensors = load(done.read(WEIGHTS))
        if isinstance(config, dict) and isinstance(config.get("contract"), dict) and RAW not in json.dumps(config):
            text, seen = done.read(CONFIG), json.dumps(config["contract"].get("tensors_sha256")).encode()
            done.write(CONFIG, text.replace(seen, json.dumps(tensors_sha256(tensors)).encode()))
    except (SafetensorError, TypeError, RuntimeError, ValueError):
        pass
    manifest = done.json(MANIFEST)
    if isinstance(manifest, dict) and isinstance(manifest.get("files"), dict):
        for name in list(manifest["files"]):
            if name in FILES and (done.folder / name).is_file():
                content = done.read(name)
                manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        done.write(MANIFEST, json.dumps(manifest).encode())
    done.forged = True
    done.what.append("digests made to agree")


def _bytes(done: Alteration) -> str:
    name = str(done.rng.choice([CONFIG, WEIGHTS, WEIGHTS, MANIFEST, "card.json", "evaluation.json"]))
    content, what = damaged(done.read(name), done.rng)
    done.write(name, content)
    return f"{name}: {what}"


def _field(done: Alteration) -> str:
    name = str(done.rng.choice([CONFIG] * 5 + [MANIFEST, "card.json", "evaluation.json"]))
    raw = done.json(name)
    if not isinstance(raw, dict) or not raw:
        return f"{name}: no JSON to edit"
    tree = raw
    if name == CONFIG and isinstance(raw.get("contract"), dict) and done.rng.random() < 0.5:
        tree = {key: value for key, value in raw.items() if key != "contract"}  # settings are few among many fields
        what = edited(tree, done.rng)
        raw = {**tree, **({"contract": raw["contract"]} if done.rng.random() < 0.95 else {})}
    else:
        what = edited(raw, done.rng)
    if name == CONFIG and "target_modules" in raw and done.rng.random() < 0.05:
        raw["target_modules"], what = odd_text(done.rng), "target_modules"
    done.write(name, dumped(raw))
    return f"{name}: {what}"


def _twice(done: Alteration) -> str:
    """One key twice in an object: readers differ in which they take."""
    text = done.read(CONFIG)
    key = str(done.rng.choice(["lora_alpha", "r", "se_init", "use_rslora", "thresholds", "time_scale"]))
    done.write(CONFIG, text.replace(f'"{key}":'.encode(), f'"{key}": 2, "{key}":'.encode(), 1))
    return f"{CONFIG}: {key} twice"


def _encoding(done: Alteration) -> str:
    encoding = str(done.rng.choice(["utf-16", "utf-8-sig", "utf-32", "latin-1"]))
    name = str(done.rng.choice([CONFIG, MANIFEST]))
    text = done.read(name).decode("utf-8", "replace")
    done.write(name, (text + " é" * (encoding == "latin-1")).encode(encoding, "replace"))
    return f"{name}: as {encoding}"


def _tensors(done: Alteration) -> str:
    try:
        tensors = load(done.read(WEIGHTS))
    except (SafetensorError, TypeError, RuntimeError, ValueError):
        return "no tensors to alter"
    if not tensors:
        return "no tensors to alter"
    rng, names = done.rng, sorted(tensors)
    name = names[int(rng.integers(len(names)))]
    other = names[int(rng.integers(len(names)))]
    what = str(
        rng.choice(["value", "value", "scaled", "swap", "drop", "add", "rename", "kind", "shape", "foreign", "all"])
    )
    if what == "value" and tensors[name].numel() and tensors[name].is_floating_point():
        value = float(rng.choice([np.nan, np.inf, -np.inf, 3e38, 1e30, 1e-40, 0.0, 1.0]))
        tensors[name].view(-1)[int(rng.integers(tensors[name].numel()))] = value
        what = f"a value of {value}"
    elif what == "scaled":
        tensors[name] = tensors[name] * 1.5
    elif what == "swap":
        tensors[name], tensors[other] = tensors[other], tensors[name]
    elif what in ("drop", "rename"):
        tensor = tensors.pop(name)
        if what == "rename":
            tensors[str(rng.choice([name + ".x", name.replace("A", "B"), "x", "base_model.model.fc0.weight"]))] = tensor
    elif what == "add":
        tensors[str(rng.choice(["x", "base_model.model.fno0.conv.weights1", name + "2"]))] = torch.ones(3)
    elif what == "kind":
        kinds = [torch.float16, torch.bfloat16, torch.float64, torch.int32, torch.bool]
        tensors[name] = tensors[name].to(kinds[int(rng.integers(len(kinds)))])
    elif what == "shape":
        tensors[name] = tensors[name].reshape(-1) if rng.random() < 0.5 else tensors[name][None]
    elif what == "foreign":
        other_tensors = load((done.other_adapter / WEIGHTS).read_bytes())
        tensors[name] = other_tensors.get(name, tensors[name])
    elif what == "all":
        tensors = {key: tensor.float() * float(rng.choice([0.0, 1e20, -1.0])) for key, tensor in tensors.items()}
    done.write(WEIGHTS, save({key: tensor.contiguous().clone() for key, tensor in tensors.items()}))
    return f"tensors: {what}"


def _header(done: Alteration) -> str:
    """The safetensors header, edited as JSON; the numbers behind it stay."""
    content = done.read(WEIGHTS)
    try:
        size = struct.unpack("<Q", content[:8])[0]
        header = json.loads(content[8 : 8 + size])
        what = edited(header, done.rng)
        text = dumped(header)
    except (struct.error, ValueError, OverflowError, MemoryError, RecursionError, IndexError, AttributeError):
        return "no header to edit"
    length = int(done.rng.choice([len(text)] * 8 + [0, 2**40, len(text) - 1]))
    done.write(WEIGHTS, struct.pack("<Q", length) + text + content[8 + size :])
    return f"{WEIGHTS}: header {what}"


def _gone(done: Alteration) -> str:
    name = str(done.rng.choice(FILES))
    done.remove(name)
    if name == MANIFEST:
        done.forged = True
    return f"{name} removed"


def _other_kind(done: Alteration) -> str:
    """A link, a folder, a pipe where a file was."""
    name, kind = (
        str(done.rng.choice(FILES)),
        str(done.rng.choice(["link", "nowhere", "itself", "folder", "pipe", "/dev/zero"])),
    )
    path = done.folder / name
    done.remove(name)
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        source = done.other_adapter / name
        path.symlink_to({"link": source, "nowhere": "nowhere", "itself": name}.get(kind, kind))
    if name == MANIFEST:
        done.forged = True
    return f"{name} is {kind}"


def _foreign_file(done: Alteration) -> str:
    name = str(done.rng.choice(FILES))
    shutil.copyfile(done.other_adapter / name, done.folder / "taken")
    done.remove(name)
    os.replace(done.folder / "taken", done.folder / name)
    return f"{name} of another adapter"


def _pickle(done: Alteration) -> str:
    """Weights that run code when they are unpickled, beside or for the real ones."""
    bomb = pickle.dumps(Bomb(done.mark))
    name = str(done.rng.choice(["adapter_model.bin", "pytorch_model.bin", WEIGHTS, CONFIG, "adapter_model.pt"]))
    done.write(name, bomb)
    if done.rng.random() < 0.5 and name not in (WEIGHTS, CONFIG):
        done.remove(WEIGHTS)
    return f"{name} is a pickle"


def _extra(done: Alteration) -> str:
    names = ["model.safetensors", "config.json", "modeling.py", "added_tokens.json", ".hidden", "x" * 200]
    name = names[int(done.rng.integers(len(names)))]
    done.write(name, dumped({"x": odd_json(done.rng)}))
    return f"{name[:20]} added"


def _other_backbone(done: Alteration) -> str:
    raw = done.json(CONFIG)
    if not isinstance(raw, dict) or not isinstance(raw.get("contract"), dict):
        return "no contract"
    raw["contract"]["backbone_fingerprint"] = hashlib.sha256(done.rng.bytes(8)).hexdigest()
    done.write(CONFIG, dumped(raw))
    return "another backbone's"


class Bomb:
    """Pickled, it writes the file `mark` when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, (f"open({str(self.mark)!r}, 'w').close()",)


_WAYS: list[tuple[Callable[[Alteration], str], float]] = [
    (_field, 6),
    (_tensors, 4),
    (_bytes, 3),
    (_header, 2),
    (_gone, 1),
    (_other_kind, 1),
    (_foreign_file, 1),
    (_pickle, 0.5),
    (_twice, 0.5),
    (_encoding, 0.5),
    (_extra, 0.5),
    (_other_backbone, 0.5),
]
