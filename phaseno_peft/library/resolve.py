"""From what a user types to an adapter's folder: a path, a name in the library, a shipped one, one on the Hub."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from phaseno_peft.errors import AdapterError
from phaseno_peft.files import settle, sweep
from phaseno_peft.files.manifest import read_manifest
from phaseno_peft.hub import HubName, fetch, hub_name, list_repositories
from phaseno_peft.library.card import TAG
from phaseno_peft.library.names import ADAPTER, CONFIG, check_name, is_name
from phaseno_peft.paths import shipped_folder, user_folder

ORGANISATION_VARIABLE = "PHASENO_PEFT_HUB_ORG"
REPOSITORY_PREFIX = "phaseno-"
"""`ohio-frac` is `<organisation>/phaseno-ohio-frac` on the Hub."""
Place = Literal["folder", "library", "shipped", "hub"]


@dataclass(frozen=True, slots=True)
class Located:
    """An adapter that was found, not read yet."""

    name: str
    place: Place
    folder: Path
    hub: HubName | None = None
    """What was asked of the Hub, where it came from there."""
    commit: str | None = None


def library_folder() -> Path:
    """Where the user's adapters live: `$PHASENO_PEFT_HOME/adapters`, else the platform's data folder."""
    return user_folder() / "adapters"


def default_organisation() -> str | None:
    """Organisation on the Hub that bare names are looked up in: `$PHASENO_PEFT_HUB_ORG`, else none."""
    return os.environ.get(ORGANISATION_VARIABLE) or None


def list_adapters(remote: bool | str = False) -> list[str]:
    """Names in the user's library and of shipped adapters; with `remote`, `org/repo` of those on the Hub instead.

    remote: an organisation or user, or True for `$PHASENO_PEFT_HUB_ORG`. Raises `AdapterError` if that is not set, and
    `HubError`.
    """
    if not remote:
        sweep(library_folder())
        return sorted({name for folder in (library_folder(), shipped_folder("adapters")) for name in names_in(folder)})
    organisation = default_organisation() if remote is True else remote
    if organisation is None:
        raise AdapterError(f"which organisation's adapters? Name one, or set ${ORGANISATION_VARIABLE}.")
    return list_repositories(organisation, TAG)


def names_in(folder: Path) -> list[str]:
    """Names of the adapters in a folder of adapters; half-written ones have none."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if is_name(path.name) and (path / CONFIG).is_file())


def find_adapter(name_or_path: str | Path, *, remote: bool = True) -> Located:
    """Look for an adapter: a folder of that path, the user's library, shipped adapters, the Hub.

    The Hub is asked for `org/repo[@revision]`, and for other names where `$PHASENO_PEFT_HUB_ORG` is set; never with
    `remote=False`. Raises `AdapterError` that lists the nearest names, and `HubError`.
    """
    text = str(name_or_path)
    path = Path(name_or_path).expanduser()
    settle(path)
    if os.path.isfile(path / CONFIG):  # False, not an error, for names that no file can have
        return Located(path.resolve().name, "folder", path)
    if os.path.isdir(path) and not (path.name == text and is_name(text)):
        raise AdapterError(f"{path}: not an adapter, it has no {CONFIG}. Give the folder that train-adapter wrote.")
    if path.name == text and not text.startswith("."):
        name, at, revision = check_name(text.partition("@")[0]), "@" in text, text.partition("@")[2]
        places: tuple[tuple[Place, Path], ...] = (
            ("library", library_folder()),
            ("shipped", shipped_folder("adapters")),
        )
        for place, folder in places if not at else ():
            settle(folder / name)
            if (folder / name / CONFIG).is_file():
                return Located(name, place, folder / name)
        organisation = default_organisation()
        hub = HubName(f"{organisation}/{REPOSITORY_PREFIX}{name}", revision or None) if organisation else None
    else:
        hub = hub_name(text)
    if hub is not None and remote:
        return find_on_hub(hub)
    raise AdapterError(_not_found(text))


def find_on_hub(hub: HubName, *, accept_moved: bool = False) -> Located:
    """The adapter of a repository, fetched and verified. Raises `HubError`."""
    snapshot = fetch(hub, ADAPTER, accept_moved=accept_moved)
    manifest = read_manifest(snapshot.folder)
    own = manifest.name if manifest is not None else ""
    return Located(check_name(own), "hub", snapshot.folder, hub, snapshot.commit)


def _not_found(text: str) -> str:
    known = list_adapters()
    near = difflib.get_close_matches(text, known, n=3) or known[:5]
    hint = (
        f"Nearest: {', '.join(near)}." if near else "The library is empty: train one with `phaseno-peft train-adapter`."
    )
    if "/" in text:
        hint += f" For the Hub write hf://{text}." if hub_name(f"hf://{text}") else ""
    elif default_organisation() is None:
        hint += f" Bare names are looked up on the Hub too where ${ORGANISATION_VARIABLE} is set."
    return f"no adapter {text!r}, neither as a folder nor in {library_folder()} nor shipped. {hint}"
