"""A repository's files, downloaded unless they are cached, and verified."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from phaseno_peft.errors import HubError
from phaseno_peft.files.manifest import MANIFEST, altered_files, read_manifest
from phaseno_peft.hub.listing import file_of, head_of, list_files, list_versions
from phaseno_peft.hub.names import HubName, Kind, is_commit
from phaseno_peft.hub.refusals import explained
from phaseno_peft.hub.transfer import OfflineError, RefusedError, UnreachableError, write_blocks

log = logging.getLogger(__name__)
DEFAULT_REVISION = "main"
LONGEST_S = 3600.0
"""Of all files of one repository together."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A verified copy of a repository at one commit, in the cache of `huggingface_hub`. Never write into it."""

    name: HubName
    commit: str
    folder: Path


def fetch(name: HubName, kind: Kind, *, accept_moved: bool = False) -> Snapshot:
    """A repository's files, each of a known name and size, downloaded unless cached, and verified with its manifest.

    Works offline from a warm cache. A tag that stood for another commit when it was last fetched here is refused
    unless `accept_moved`. Nothing stands in the cache before all of it is verified. Raises `HubError`.
    """
    cache = _Cache.of(name)
    with explained(name):
        known = cache.commit(kind)
        commit = known if name.is_pinned and known else _commit_on_hub(name) or known
        if commit is None:
            raise HubError(
                f"{name}: the Hub cannot be reached and the cache has no whole copy. Connect, or unset HF_HUB_OFFLINE."
            )
        folder = cache.snapshot(commit)
        if commit != known:
            if known and name.revision and not accept_moved:
                _refuse_moved_tag(name, known, commit)
            if not folder.is_dir() or _problems(folder, kind):  # of another revision, or of another program
                _download(name, kind, commit, cache)
        if problems := _problems(folder, kind):
            cache.remove_snapshot(commit)
            raise HubError(f"{name}: {problems[0]} {_ALTERED}")
        cache.record_commit(commit)
    return Snapshot(name, commit, folder)


_ALTERED = (
    "The file was altered on the way, in the cache or at its source; the copy here was removed. Fetch it again, or ask "
    "its author to push it with phaseno-peft."
)


@dataclass(frozen=True, slots=True)
class _Cache:
    """The folder of one repository in the cache of `huggingface_hub`, laid out as that does where links are missing:
    `refs/<revision>` holds a commit, `snapshots/<commit>` the files."""

    folder: Path
    revision: str

    @classmethod
    def of(cls, name: HubName) -> _Cache:
        from huggingface_hub import constants

        folder = Path(constants.HF_HUB_CACHE).expanduser() / f"models--{name.repository.replace('/', '--')}"
        return cls(folder, name.revision or DEFAULT_REVISION)

    def snapshot(self, commit: str) -> Path:
        return self.folder / "snapshots" / commit

    def commit(self, kind: Kind) -> str | None:
        """Commit that the revision stood for when it was last fetched whole; None if it never was."""
        commit = self.revision
        if not is_commit(commit):
            try:
                with (self.folder / "refs" / self.revision).open(encoding="ascii") as file:
                    commit = file.read(100).strip()
            except (OSError, ValueError):
                return None
        folder = self.snapshot(commit)
        is_whole = is_commit(commit) and all((folder / file).is_file() for file in (kind.marker, MANIFEST))
        return commit if is_whole else None

    def record_commit(self, commit: str) -> None:
        """Record which commit the revision stands for."""
        if is_commit(self.revision):
            return
        ref = self.folder / "refs" / self.revision
        ref.parent.mkdir(parents=True, exist_ok=True)
        if not ref.is_file() or ref.read_bytes() != commit.encode():
            part = ref.with_name(f".{ref.name}.{os.getpid()}")
            part.write_text(commit, encoding="ascii")
            os.replace(part, ref)

    def remove_snapshot(self, commit: str) -> None:
        """Take a snapshot out of the cache: its files, and what links of `huggingface_hub` point to within its folder.

        What a link outside points to is never touched.
        """
        folder, root = self.snapshot(commit), self.folder.resolve()
        if not folder.is_symlink() and folder.resolve().is_relative_to(root):
            for path in folder.rglob("*"):
                if path.is_symlink() and path.resolve().is_relative_to(root):
                    path.resolve().unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
        elif folder.is_symlink():
            folder.unlink()


def _problems(folder: Path, kind: Kind) -> list[str]:
    """What is wrong with a snapshot, one sentence each."""
    try:
        manifest = read_manifest(folder)
    except ValueError as error:
        return [f"{error}."]
    if manifest is None:
        return [f"it has no {MANIFEST}, so its files cannot be verified."]
    if foreign := [file for file in manifest.files if kind.limit(file) is None]:
        return [f"{MANIFEST} lists {foreign[0][:80]!r}, which is no file of {kind.noun}."]
    if missing := {kind.marker, kind.weights} - set(manifest.files):
        return [f"{MANIFEST} does not list {min(missing)}."]
    root = folder.parents[1].resolve()
    if outside := [file for file in manifest.files if not (folder / file).resolve().is_relative_to(root)]:
        return [f"{folder / outside[0]}: is a link out of the cache."]
    return altered_files(folder)


def _download(name: HubName, kind: Kind, commit: str, cache: _Cache) -> None:
    """Put a snapshot into the cache, verified, or nothing."""
    sizes, until = _checked_listing(name, kind, commit), time.monotonic() + LONGEST_S
    cache.folder.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=".fetching.", dir=cache.folder))
    try:
        part.chmod(0o755)
        inner = part / "snapshots" / commit  # as deep as it will be, for `_problems`

        def take(file: str) -> None:
            (inner / file).parent.mkdir(parents=True, exist_ok=True)
            write_blocks(inner / file, file_of(name, commit, file, sizes[file], until - time.monotonic()))

        take(MANIFEST)
        manifest = read_manifest(inner)
        listed = sorted(manifest.files) if manifest is not None else []
        if unknown := [file for file in listed if file not in sizes]:
            raise HubError(
                f"{name}: {MANIFEST} lists {unknown[0][:80]!r}, which the Hub does not have as a file of {kind.noun}. "
                "Nothing was kept; ask its author to push it again."
            )
        for file in listed:
            if file != MANIFEST:
                take(file)
        if problems := _problems(inner, kind):
            raise HubError(f"{name}: {problems[0].replace(f'{inner}{os.sep}', '')} {_ALTERED}")
        folder = cache.snapshot(commit)
        cache.remove_snapshot(commit)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # another process was faster: `fetch` verifies what is there
            os.replace(inner, folder)
    except ValueError as error:  # of read_manifest
        raise HubError(f"{name}: {str(error).replace(f'{inner}{os.sep}', '')}. {_ALTERED}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _commit_on_hub(name: HubName) -> str | None:
    """Commit that a revision stands for now; None if the Hub cannot be reached."""
    try:
        return head_of(name).commit
    except RefusedError as error:
        if error.status < 500:
            raise
        log.warning("%s: the Hub answers %s; looking into the cache", name, error.status)
    except OfflineError:
        pass
    except UnreachableError as error:
        log.warning("%s: the Hub cannot be reached (%s); looking into the cache", name, error)
    return None


def _refuse_moved_tag(name: HubName, known: str, commit: str) -> None:
    if any(version.is_tag and version.name == name.revision for version in list_versions(name.repository)):
        raise HubError(
            f"{name}: the tag stood for commit {known[:12]} when it was last fetched here and now stands for "
            f"{commit[:12]}. Keep the old one with {name.repository}@{known}, or take the new one with "
            f"`phaseno-peft pull {name} --overwrite`."
        )


def _checked_listing(name: HubName, kind: Kind, commit: str) -> dict[str, int]:
    """Path -> bytes of the files that are ours: all that must be there, none larger than it may be."""
    listed = list_files(name, commit)
    for file in (kind.marker, kind.weights, MANIFEST):
        if file not in listed:
            raise HubError(
                f"{name}: has no {file}, so it is not {kind.noun} that phaseno-peft pushed. Nothing was downloaded; "
                "check the name."
            )
    ours = {path: (size, limit) for path, size in listed.items() if (limit := kind.limit(path)) is not None}
    for path, (size, limit) in ours.items():
        if size > limit:
            raise HubError(
                f"{name}: {path} has {size} bytes, more than the {limit} it may have in {kind.noun}. "
                "Nothing was downloaded."
            )
    sizes = {path: size for path, (size, _) in ours.items()}
    if (total := sum(sizes.values())) > kind.largest_sum_bytes:
        raise HubError(
            f"{name}: has {total} bytes in all, more than the {kind.largest_sum_bytes} of {kind.noun}. "
            "Nothing was downloaded."
        )
    return sizes
