"""Users' computers in front of the stand-in Hub: each with a library, a cache and a token of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub.constants
import huggingface_hub.utils._http
import pytest

from phaseno_peft.library import library_folder
from tests.library.standin_hub import StandInHub


@dataclass
class Machine:
    """One user's computer: a library, a cache of the Hub, a token, a network or none."""

    patch: pytest.MonkeyPatch
    folder: Path

    def use(self, name: str = "first", *, token: str | None = "writer", offline: bool = False) -> Path:
        """Sit down at a computer; returns its home. Homes and caches are kept."""
        home = self.folder / name
        constants = huggingface_hub.constants
        self.patch.setenv("PHASENO_PEFT_HOME", str(home / "phaseno"))
        self.patch.setattr(constants, "HF_HUB_CACHE", str(home / "cache"))
        self.patch.setattr(constants, "HF_HUB_OFFLINE", offline)
        self.patch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "PHASENO_PEFT_HUB_ORG"):
            self.patch.delenv(variable, raising=False)
        if token is not None:
            self.patch.setenv("HF_TOKEN", token)
        return home

    def own(self, source: Path, name: str) -> Path:
        """Put a copy of an adapter into the library of the computer in use."""
        folder = Path(shutil.copytree(source, library_folder() / name))
        (folder / "origin.json").unlink(missing_ok=True)  # of a test that pushed the source itself
        return folder


@contextmanager
def client_of(server: StandInHub, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """`huggingface_hub` in this process takes `server` for the Hub."""
    constants = huggingface_hub.constants
    patch.setattr(constants, "ENDPOINT", server.url)
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}")
    patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    patch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 2)
    patch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 2)
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    try:
        yield
    finally:
        huggingface_hub.utils._http.close_session()


def edit_evaluation(folder: Path, note: str) -> None:
    """Make an adapter differ from what it was, with a manifest that agrees: a new version of it."""
    from phaseno_peft.files.manifest import read_manifest, write_manifest

    path = folder / "evaluation.json"
    raw = json.loads(path.read_text())
    raw["about"]["note"] = note
    path.write_text(json.dumps(raw))
    manifest = read_manifest(folder)
    assert manifest is not None
    write_manifest(folder, manifest.name, manifest.files)
