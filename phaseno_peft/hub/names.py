"""What repositories of the Hub are called, and which files those of ours hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from phaseno_peft.errors import HubError

_PART = r"[A-Za-z0-9_](?:[\w.-]*[\w-])?"
"""Of a name: it becomes part of a path, so no dots at its ends."""
_REPOSITORY = rf"{_PART}/{_PART}"
_REVISION = rf"{_PART}(?:/{_PART})*"
_NAME = re.compile(rf"(hf://)?({_REPOSITORY})(?:@({_REVISION}))?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_FILE = re.compile(rf"{_PART}(?:/{_PART})*", re.ASCII)
LONGEST_NAME = 200
"""Characters of a repository's name, a revision or a file's path."""


@dataclass(frozen=True, slots=True)
class HubName:
    """`org/repo`, or `org/repo@revision` with a tag, a branch or a commit.

    Raises `HubError` for what is neither: both become parts of addresses and of paths in the cache.
    """

    repository: str
    revision: str | None = None

    def __post_init__(self) -> None:
        if len(self.repository) > LONGEST_NAME or not _fits(_REPOSITORY, self.repository):
            raise HubError(f"{self.repository[:80]!r} is not the name of a repository. Write it as organisation/name.")
        if ".." in self.repository or "--" in self.repository:
            raise HubError(
                f"{self.repository!r} is not a name that the Hub allows: it has two dots or hyphens in a row."
            )
        if self.revision is not None and not is_revision(self.revision):
            raise HubError(
                f"{self.repository}: {self.revision[:80]!r} is not the name of a revision. Give a tag, a branch or a "
                f"commit; `phaseno-peft adapters versions {self.repository}` lists them."
            )

    def __str__(self) -> str:
        return self.repository if self.revision is None else f"{self.repository}@{self.revision}"

    @property
    def is_pinned(self) -> bool:
        """True if the revision is a whole commit, which nobody can move."""
        return self.revision is not None and is_commit(self.revision)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a repository of one kind holds: the only files that are fetched or sent, and how large they may be."""

    noun: str
    """In a sentence: "an adapter"."""
    marker: str
    """File by which such a repository is known."""
    weights: str
    largest_bytes: Mapping[str, int]
    """Path or pattern (`figures/*.png`) -> bytes."""
    largest_sum_bytes: int
    """Of all files together."""

    def limit(self, path: str) -> int | None:
        """Bytes that the file at `path` may have; None if such a file is none of ours."""
        if not _FILE.fullmatch(path) or len(path) > LONGEST_NAME or ".." in path:
            return None
        fitting = (
            n
            for pattern, n in self.largest_bytes.items()
            if fnmatchcase(path, pattern) and path.count("/") == pattern.count("/")
        )
        return next(fitting, None)


def hub_name(text: str) -> HubName | None:
    """`text` as a Hub name, None if it is not one.

    `hf://org/repo` always is; `org/repo` is unless a folder `org` lies here: then it is taken for a path.
    """
    found = _NAME.fullmatch(text)
    if found is None or (not found[1] and Path(text.split("/")[0]).is_dir()):
        return None
    try:
        return HubName(found[2], found[3])
    except HubError:
        return None


def is_commit(text: object) -> bool:
    """True for a whole commit: 40 hexadecimal digits."""
    return isinstance(text, str) and _COMMIT.fullmatch(text) is not None


def is_revision(text: object) -> bool:
    """True for what may name a tag, a branch or a commit here."""
    return isinstance(text, str) and len(text) <= LONGEST_NAME and ".." not in text and _fits(_REVISION, text)


def _fits(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text, re.ASCII) is not None
