"""One commit that makes a repository hold what a folder holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from phaseno_peft.errors import HubError
from phaseno_peft.manifest import MANIFEST
from phaseno_peft.remote.listing import list_files, list_versions
from phaseno_peft.remote.names import HubName, Kind, hub_name
from phaseno_peft.remote.refusals import explained

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

_EVERYONES = (".gitattributes", "README.md")
"""Files that any repository may have, also one that was just created by hand."""


@dataclass(frozen=True, slots=True)
class Published:
    """What a push left on the Hub."""

    repository: str
    commit: str
    tag: str | None
    url: str
    is_new_commit: bool
    """False where the Hub already had exactly this content."""


def publish(
    folder: Path,
    repository: str,
    kind: Kind,
    *,
    known_commit: str | None = None,
    overwrite: bool = False,
    private: bool = False,
    tag: str | None = None,
) -> Published:
    """Make `repository` hold the files of `folder`, manifest included, by one commit, and tag it.

    known_commit: the commit this content descends from; the push is refused where the repository has a newer one,
    unless `overwrite`. A push that broke off is finished by the same push again. Raises `HubError`.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token

    name = HubName(repository)
    if hub_name(f"hf://{repository}") != name:
        raise HubError(f"{repository!r} is not the name of a repository. Write it as organisation/name.")
    if tag is not None and not re.fullmatch(r"\w[\w.-]*", tag, re.ASCII):
        raise HubError(f"tag {tag!r}: use letters, digits, dots and hyphens, for example v1.")
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    with explained(name):
        if not get_token():
            raise HubError(
                "there is no token for the Hub. Make one with write access (huggingface.co/settings/tokens), then run "
                "`hf auth login` or set HF_TOKEN."
            )
        api = HfApi()
        there = _files_on_hub(api, name, kind)
        if there is None:
            api.create_repo(repository, private=private)
            there = _files_on_hub(api, name, kind)
            if there is None:
                raise HubError(f"{name}: was created, but the Hub does not show it yet. Push again in a minute.")
        head, listed = there
        is_same = MANIFEST in listed and _same_manifest(api, name, head, folder)
        if tag is not None:
            taken = {version.name: version.commit for version in list_versions(repository) if version.is_tag}.get(tag)
            if taken is not None and not (is_same and taken == head):
                raise HubError(f"{name}: tag {tag} stands for commit {taken[:12]} already. Choose another tag.")
        commit = head
        if not is_same:
            _check_conflict(name, kind, head, listed, known_commit, overwrite)
            stale = [path for path in listed if path not in files and kind.limit(path) is not None]
            made = api.create_commit(
                repository,
                [
                    *(CommitOperationAdd(file, folder / file) for file in files),
                    *(CommitOperationDelete(path) for path in stale),
                ],
                commit_message="pushed by phaseno-peft" + (f", {tag}" if tag else ""),
                parent_commit=head,
            )
            commit = made.oid
        if tag is not None:
            api.create_tag(repository, tag=tag, revision=commit, exist_ok=True)
        return Published(repository, commit, tag, f"{api.endpoint}/{repository}", not is_same)


def _files_on_hub(api: HfApi, name: HubName, kind: Kind) -> tuple[str, dict[str, RepoFile]] | None:
    """(head commit, files) of a repository; None if there is none, or none that this token may see."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        head = api.model_info(name.repository).sha
    except GatedRepoError:
        raise
    except RepositoryNotFoundError:
        return None
    if head is None:
        raise HubError(f"{name}: the Hub does not say which commit it is at. Push again later.")
    listed = list_files(name, head)
    if kind.marker not in listed and (other := sorted(set(listed) - set(_EVERYONES))):
        raise HubError(
            f"{name}: exists and holds something else than {kind.noun} of phaseno-peft ({other[0]}). "
            "Choose another repository."
        )
    return head, listed


def _same_manifest(api: HfApi, name: HubName, commit: str, folder: Path) -> bool:
    there = Path(api.hf_hub_download(name.repository, MANIFEST, revision=commit))
    return there.read_bytes() == (folder / MANIFEST).read_bytes()


def _check_conflict(
    name: HubName, kind: Kind, head: str, listed: Mapping[str, RepoFile], known_commit: str | None, overwrite: bool
) -> None:
    if overwrite or kind.marker not in listed or head == known_commit:
        return
    if known_commit is None:
        raise HubError(
            f"{name}: exists already, at commit {head[:12]}. Choose another repository, or "
            "make this its next version with --overwrite."
        )
    raise HubError(
        f"{name}: is at commit {head[:12]}, newer than {known_commit[:12]}, which this copy comes from. Pull "
        "that first under another name and compare, or make this the next version with --overwrite."
    )
