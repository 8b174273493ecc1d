"""What is on the Hub: commits, files, versions, repositories. Every answer is checked before it is used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from phaseno_peft.errors import HubError
from phaseno_peft.hub.names import HubName, is_commit, is_revision
from phaseno_peft.hub.refusals import explained
from phaseno_peft.hub.transfer import OddAnswerError, get_file, get_json

MOST_FILES = 1000
"""A repository that lists more is no adapter and no backbone."""
MOST_REPOSITORIES = 1000


@dataclass(frozen=True, slots=True)
class Version:
    """A tag or a branch of a repository, and the commit it stands for now."""

    name: str
    commit: str
    is_tag: bool


@dataclass(frozen=True, slots=True)
class Head:
    """What a revision of a repository stands for now."""

    commit: str
    is_private: bool
    """False also where the Hub does not say."""


def head_of(name: HubName) -> Head:
    """What a revision stands for now, by default that of the main branch. Raises the errors of `transfer`."""
    path = f"/api/models/{name.repository}"
    raw = get_json(path if name.revision is None else f"{path}/revision/{name.revision}")
    commit = raw.get("sha") if isinstance(raw, dict) else None
    if not is_commit(commit) or (name.is_pinned and commit != name.revision):
        raise OddAnswerError(f"gives {commit!r:.60} for a commit")
    return Head(str(commit), raw.get("private") is True)


def list_versions(repository: str) -> list[Version]:
    """Tags, then branches, of a repository; those that no name here can ask for are left out. Raises `HubError`."""
    name = HubName(repository)
    with explained(name):
        raw = get_json(f"/api/models/{repository}/refs")
        kinds = {kind: raw.get(kind) if isinstance(raw, dict) else None for kind in ("tags", "branches")}
        rows = [(row, kind == "tags") for kind, found in kinds.items() for row in _rows(found)]
        if not all(isinstance(row.get("name"), str) and is_commit(row.get("targetCommit")) for row, _ in rows):
            raise OddAnswerError("lists a version without name or commit")
    return [Version(row["name"], row["targetCommit"], is_tag) for row, is_tag in rows if is_revision(row["name"])]


def list_repositories(organisation: str, tag: str) -> list[str]:
    """Repositories of an organisation or user whose card carries `tag`. Raises `HubError`."""
    name = HubName(f"{organisation}/any")
    query = {"author": organisation, "filter": tag, "limit": str(MOST_REPOSITORIES)}
    with explained(name, organisation):
        return sorted(_repository(row, organisation) for row in _rows(get_json("/api/models", query)))


def list_files(name: HubName, commit: str) -> dict[str, int]:
    """Path -> bytes of every file of a repository at a commit. Raises `HubError`."""
    query = {"recursive": "true", "expand": "false"}
    with explained(name):
        rows = list(_rows(get_json(f"/api/models/{name.repository}/tree/{commit}", query)))
        if len(rows) > MOST_FILES:
            raise HubError(f"{name}: lists more than {MOST_FILES} files; this is another kind of repository.")
        files: dict[str, int] = {}
        for row in rows:
            path, size = row.get("path"), row.get("size")
            if row.get("type") == "directory":
                continue
            if not isinstance(path, str) or type(size) is not int or size < 0 or path in files:
                raise OddAnswerError("lists a file without name or size, or twice")
            files[path] = size
    return files


def file_of(name: HubName, commit: str, path: str, n_bytes: int, longest_s: float) -> Iterator[bytes]:
    """Content of one file in blocks. Raises the errors of `transfer`."""
    return get_file(f"/{name.repository}/resolve/{commit}/{path}", n_bytes, longest_s)


def _rows(raw: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(raw, list) or not all(isinstance(row, dict) for row in raw):
        raise OddAnswerError("is not a list of objects")
    return iter(raw)


def _repository(row: dict[str, Any], organisation: str) -> str:
    try:
        found = HubName(str(row.get("id"))).repository
    except HubError as error:
        raise OddAnswerError("lists a repository without a name") from error
    if not found.casefold().startswith(f"{organisation.casefold()}/"):
        raise OddAnswerError(f"lists {found!r} among the repositories of {organisation!r}")
    return found
