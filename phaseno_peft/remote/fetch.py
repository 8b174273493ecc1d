"""A repository's files, downloaded unless they are cached, and verified."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from phaseno_peft.errors import HubError
from phaseno_peft.manifest import MANIFEST, altered_files
from phaseno_peft.remote.listing import list_files, list_versions
from phaseno_peft.remote.names import HubName, Kind
from phaseno_peft.remote.refusals import explained, http_error

log = logging.getLogger(__name__)
DEFAULT_REVISION = "main"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A verified copy of a repository at one commit, in the cache of `huggingface_hub`. Never write into it."""

    name: HubName
    commit: str
    folder: Path


def fetch(name: HubName, kind: Kind, *, accept_moved: bool = False) -> Snapshot:
    """A repository's files, each of a known name and size, downloaded unless cached, and verified with its manifest.

    Works offline from a warm cache. A tag that stood for another commit when it was last fetched here is refused
    unless `accept_moved`. Raises `HubError`.
    """
    from huggingface_hub import snapshot_download

    revision = name.revision or DEFAULT_REVISION
    patterns = list(kind.largest_bytes)
    with explained(name):
        known = _cached_commit(name, kind)
        commit = known if name.is_pinned and known else _commit_on_hub(name)
        if commit is not None and commit != known:
            if known and name.revision and not accept_moved:
                _refuse_moved_tag(name, known, commit)
            _check_listing(name, kind, commit)
        is_local = commit is None or commit == known
        folder = Path(
            snapshot_download(name.repository, revision=revision, allow_patterns=patterns, local_files_only=is_local)
        )
    if commit is not None and folder.name != commit:
        raise HubError(f"{name}: changed on the Hub while it was fetched. Nothing was loaded; fetch it again.")
    problems = altered_files(folder)
    if not (folder / MANIFEST).is_file():
        problems = [f"it has no {MANIFEST}, so its files cannot be verified."]
    if problems:
        _forget(folder)
        raise HubError(
            f"{name}: {problems[0]} The file was altered on the way, in the cache or at its source; the copy here was "
            f"removed. Fetch it again, or ask its author to push it with phaseno-peft."
        )
    return Snapshot(name, folder.name, folder)


def _cached_commit(name: HubName, kind: Kind) -> str | None:
    """Commit that a revision stood for when it was last fetched whole; None if it never was."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            name.repository,
            revision=name.revision or DEFAULT_REVISION,
            allow_patterns=list(kind.largest_bytes),
            local_files_only=True,
        )
    except LocalEntryNotFoundError:
        return None
    return Path(folder).name if (Path(folder) / kind.marker).is_file() else None


def _commit_on_hub(name: HubName) -> str | None:
    """Commit that a revision stands for now; None if the Hub cannot be reached."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        return HfApi().model_info(name.repository, revision=name.revision).sha
    except OfflineModeIsEnabled:
        return None
    except HfHubHTTPError as error:
        if error.response.status_code < 500:
            raise
        log.warning("%s: the Hub answers %s; looking into the cache", name, error.response.status_code)
    except http_error() as error:
        log.warning("%s: the Hub cannot be reached (%s); looking into the cache", name, error)
    return None


def _refuse_moved_tag(name: HubName, known: str, commit: str) -> None:
    if any(version.is_tag and version.name == name.revision for version in list_versions(name.repository)):
        raise HubError(
            f"{name}: the tag stood for commit {known[:12]} when it was last fetched here and now stands for "
            f"{commit[:12]}. Keep the old one with {name.repository}@{known}, or take the new one with "
            f"`phaseno-peft pull {name} --overwrite`."
        )


def _check_listing(name: HubName, kind: Kind, commit: str) -> None:
    """Before any file is downloaded: what must be there is, and nothing is larger than it may be."""
    listed = list_files(name, commit)
    for file in (kind.marker, kind.weights, MANIFEST):
        if file not in listed:
            raise HubError(
                f"{name}: has no {file}, so it is not {kind.noun} that phaseno-peft pushed. Nothing was downloaded; "
                "check the name."
            )
    for path, entry in listed.items():
        limit = kind.limit(path)
        if limit is not None and entry.size > limit:
            raise HubError(
                f"{name}: {path} has {entry.size} bytes, more than the {limit} it may have in {kind.noun}. "
                "Nothing was downloaded."
            )


def _forget(folder: Path) -> None:
    """Take a bad snapshot out of the cache: its files and what they point to."""
    for path in folder.rglob("*"):
        if path.is_symlink() or path.is_file():
            path.resolve().unlink(missing_ok=True)
            path.unlink(missing_ok=True)
