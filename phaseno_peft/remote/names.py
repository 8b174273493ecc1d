"""What repositories of the Hub are called, and which files those of ours hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

_NAME = re.compile(r"(hf://)?([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(\w[\w./-]*))?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class HubName:
    """`org/repo`, or `org/repo@revision` with a tag, a branch or a commit."""

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.repository if self.revision is None else f"{self.repository}@{self.revision}"

    @property
    def is_pinned(self) -> bool:
        """True if the revision is a whole commit, which nobody can move."""
        return self.revision is not None and _COMMIT.fullmatch(self.revision) is not None


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

    def limit(self, path: str) -> int | None:
        """Bytes that the file at `path` may have; None if such a file is none of ours."""
        return next((n for pattern, n in self.largest_bytes.items() if fnmatch(path, pattern)), None)


def hub_name(text: str) -> HubName | None:
    """`text` as a Hub name, None if it is not one.

    `hf://org/repo` always is; `org/repo` is unless a folder `org` lies here: then it is taken for a path.
    """
    found = _NAME.fullmatch(text)
    if found is None or (not found[1] and Path(text.split("/")[0]).is_dir()):
        return None
    return HubName(found[2], found[3])
