"""Adapters on the Hub: pushed as one commit, pulled whole into the library, their versions listed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from phaseno_peft.errors import AdapterError, HubError, PhasenoPeftError
from phaseno_peft.files.manifest import altered_files
from phaseno_peft.hub import HubName, Published, Version, hub_name, publish
from phaseno_peft.hub import list_versions as remote_versions
from phaseno_peft.library.names import ADAPTER, check_name
from phaseno_peft.library.resolve import (
    REPOSITORY_PREFIX,
    default_organisation,
    find_adapter,
    find_on_hub,
    library_folder,
)
from phaseno_peft.library.sharing import Disclosure, Share, check_share, disclosure, shared_folder
from phaseno_peft.library.store import Origin, install, read_located, read_origin, write_origin


def push_adapter(
    name_or_path: str | Path,
    repository: str,
    *,
    share: Share = "minimal",
    public: bool = False,
    tag: str | None = None,
    folds: bool = False,
    force: bool = False,
    overwrite: bool = False,
) -> Published:
    """Push an adapter of this machine to the Hub in one commit; what lies here stays as it is.

    share: `minimal` sends what picks (weights, contract, card) without stations, events, times, waveforms and exact
    place; `scores` also scores and figures without waveforms; `all` everything the folder holds. The adapters of the
    folds go along only with `folds`.
    `what_push_reveals` tells before.

    The commit is the version that others pin; `tag` names it. A repository that does not exist is made, private unless
    `public`; one that everybody sees is refused unless `public`, one that has a newer commit than the one this adapter
    was pulled from or pushed to unless `overwrite`, an adapter without evaluation unless `force`. Pushing again after a
    break continues; pushing the same content commits nothing.

    Raises `AdapterError` for an adapter that is altered or not evaluated, `HubError` for what the Hub refuses.
    """
    found = find_adapter(name_or_path, remote=False)
    origin = read_origin(found.folder)
    is_same_place = origin is not None and origin.repository == repository
    with shared_folder(found, repository, check_share(share), force=force, folds=folds) as folder:
        published = publish(
            folder,
            repository,
            ADAPTER,
            known_commit=origin.commit if origin is not None and is_same_place else None,
            overwrite=overwrite,
            public=public,
            tag=tag,
        )
    if found.place in ("library", "folder"):
        try:
            write_origin(found.folder, Origin(repository, tag, published.commit))
        except PhasenoPeftError as error:
            raise AdapterError(
                f"{repository}: the adapter was pushed, as commit {published.commit[:12]}, but this could not be noted "
                f"beside it. {error} A second push of it then sends nothing and notes the commit."
            ) from error
    return published


def what_push_reveals(
    name_or_path: str | Path,
    repository: str,
    *,
    share: Share = "minimal",
    public: bool = False,
    folds: bool = False,
    force: bool = False,
) -> Disclosure:
    """The files that `push_adapter` with the same arguments would send, what they disclose, and who could see it.

    Sends nothing. Raises `AdapterError` and `HubError` as the push would, before anything is sent.
    """
    found = find_adapter(name_or_path, remote=False)
    where = HubName(repository).repository
    with shared_folder(found, where, check_share(share), force=force, folds=folds) as folder:
        return disclosure(folder, repository, share, public=public)


def pull_adapter(name: str, *, as_name: str | None = None, overwrite: bool = False) -> Path:
    """Fetch `org/repo[@revision]` from the Hub into the user's library and return its folder there.

    A bare name stands for `<$PHASENO_PEFT_HUB_ORG>/phaseno-<name>`. The adapter appears whole and verified or not at
    all, under its own name or `as_name`; what was pulled, and at which commit, is kept beside it. Pulling what is
    there already changes nothing. Raises `HubError`, and `AdapterError` for a damaged adapter or a taken name.
    """
    found = find_on_hub(_on_hub(name), accept_moved=overwrite)
    found = dataclasses.replace(found, name=check_name(as_name or found.name))
    read_located(found)
    folder = library_folder() / found.name
    if folder.is_dir() and (origin := read_origin(folder)) is not None and found.hub is not None:
        if (origin.repository, origin.commit) == (found.hub.repository, found.commit) and not altered_files(folder):
            return folder
        if not overwrite:
            raise AdapterError(
                f"{folder}: is {origin.repository} at commit {origin.commit[:12]}, {found.hub} is at "
                f"{str(found.commit)[:12]}. Replace it with --overwrite, or keep both with --name."
            )
    return install(found, found.name, overwrite=overwrite)


def list_versions(name: str) -> list[Version]:
    """Tags and branches of an adapter's repository: of a Hub name, or of the place an adapter here was pulled from.

    Raises `AdapterError` for an adapter that is on no Hub, and `HubError`.
    """
    hub = hub_name(name)
    if hub is None:
        origin = read_origin(find_adapter(name, remote=False).folder)
        if origin is None:
            raise AdapterError(
                f"adapter {name!r} was neither pulled from the Hub nor pushed there: it has no versions."
            )
        hub = HubName(origin.repository)
    return remote_versions(hub.repository)


def _on_hub(name: str) -> HubName:
    hub = hub_name(name) or hub_name(f"hf://{name}")
    if hub is not None:
        return hub
    bare, _, revision = name.partition("@")
    if "/" in bare:
        return HubName(bare.removeprefix("hf://"), revision)  # says what is wrong with it
    organisation = default_organisation()
    if organisation is None:
        raise HubError(
            f"{name!r} is not the name of a repository. Write organisation/name, or set $PHASENO_PEFT_HUB_ORG."
        )
    return HubName(f"{organisation}/{REPOSITORY_PREFIX}{check_name(bare)}", revision or None)
