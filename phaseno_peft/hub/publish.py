"""One commit that makes a repository hold what a folder holds."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from phaseno_peft.errors import HubError
from phaseno_peft.files.manifest import MANIFEST
from phaseno_peft.hub.listing import Head, file_of, head_of, list_files, list_versions
from phaseno_peft.hub.names import HubName, Kind, is_commit
from phaseno_peft.hub.refusals import explained
from phaseno_peft.hub.transfer import LONGEST_ANSWER_S, OddAnswerError, RefusedError

LONGEST_SILENCE_S = 120.0
"""A commit of 256 MB may keep the Hub busy for a while."""
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
    is_private: bool


def publish(
    folder: Path,
    repository: str,
    kind: Kind,
    *,
    known_commit: str | None = None,
    overwrite: bool = False,
    public: bool = False,
    tag: str | None = None,
) -> Published:
    """Make `repository` hold the files of `folder`, manifest included, by one commit, and tag it.

    A repository that does not exist is made, private unless `public`; one that everybody sees is refused unless
    `public`. known_commit: the commit this content descends from; the push is refused where the repository has a newer
    one, unless `overwrite`. A push that broke off is finished by the same push again. Raises `HubError`.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token

    name = HubName(repository)
    if tag is not None and not re.fullmatch(r"\w[\w.-]*", tag, re.ASCII):
        raise HubError(f"tag {tag!r}: use letters, digits, dots and hyphens, for example v1.")
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    with explained(name), _patient_client():
        if not get_token():
            raise HubError(
                "there is no token for the Hub. Make one with write access (huggingface.co/settings/tokens), then run "
                "`hf auth login` or set HF_TOKEN."
            )
        api = HfApi()
        there = _files_on_hub(name, kind)
        if there is None:
            api.create_repo(repository, private=not public)
            there = _files_on_hub(name, kind)
            if there is None:
                raise HubError(f"{name}: was created, but the Hub does not show it yet. Push again in a minute.")
        head, listed = there
        if not (head.is_private or public):
            raise HubError(
                f"{name}: everybody can see this repository, and the push is not said to be public. Choose another "
                "repository, make this one private on the Hub, or publish it with --public."
            )
        is_same = _same_manifest(name, head.commit, listed, folder)
        if tag is not None:
            taken = {version.name: version.commit for version in list_versions(repository) if version.is_tag}.get(tag)
            if taken is not None and not (is_same and taken == head.commit):
                raise HubError(f"{name}: tag {tag} stands for commit {taken[:12]} already. Choose another tag.")
        commit = head.commit
        if not is_same:
            _check_conflict(name, kind, commit, listed, known_commit, overwrite)
            stale = [path for path in listed if path not in files and kind.limit(path) is not None]
            made = api.create_commit(
                repository,
                [
                    *(CommitOperationAdd(file, folder / file) for file in files),
                    *(CommitOperationDelete(path) for path in stale),
                ],
                commit_message="pushed by phaseno-peft" + (f", {tag}" if tag else ""),
                parent_commit=commit,
            )
            commit = made.oid
            if not is_commit(commit):
                raise OddAnswerError("gives something else than a commit for the push")
        if tag is not None:
            api.create_tag(repository, tag=tag, revision=commit, exist_ok=True)
        return Published(repository, commit, tag, f"{api.endpoint}/{repository}", not is_same, head.is_private)


@contextmanager
def _patient_client() -> Iterator[None]:
    """While the Hub is written to, its client waits for an answer no longer than `LONGEST_SILENCE_S`; by itself it
    waits for ever."""
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]  # documented, not re-exported

    client = get_session()
    before = client.timeout
    client.timeout = LONGEST_SILENCE_S
    try:
        yield
    finally:
        client.timeout = before


def _files_on_hub(name: HubName, kind: Kind) -> tuple[Head, dict[str, int]] | None:
    """(head commit, files) of a repository; None if there is none, or none that this token may see."""
    try:
        head = head_of(name)
    except RefusedError as error:
        if error.code != "GatedRepo" and not error.is_about_token and error.status in (401, 404):
            return None
        raise
    listed = list_files(name, head.commit)
    if kind.marker not in listed and (other := sorted(set(listed) - set(_EVERYONES))):
        raise HubError(
            f"{name}: exists and holds something else than {kind.noun} of phaseno-peft ({other[0][:80]!r}). "
            "Choose another repository."
        )
    return head, listed


def _same_manifest(name: HubName, commit: str, listed: Mapping[str, int], folder: Path) -> bool:
    own = (folder / MANIFEST).read_bytes()
    if listed.get(MANIFEST) != len(own):
        return False
    return b"".join(file_of(name, commit, MANIFEST, len(own), LONGEST_ANSWER_S)) == own


def _check_conflict(
    name: HubName, kind: Kind, head: str, listed: Collection[str], known_commit: str | None, overwrite: bool
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
