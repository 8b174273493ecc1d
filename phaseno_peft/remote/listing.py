"""What is on the Hub: files, versions, repositories. Nothing is downloaded here."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from phaseno_peft.errors import HubError
from phaseno_peft.remote.names import HubName
from phaseno_peft.remote.refusals import explained

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

MOST_FILES = 1000
"""A repository that lists more is no adapter and no backbone."""


@dataclass(frozen=True, slots=True)
class Version:
    """A tag or a branch of a repository, and the commit it stands for now."""

    name: str
    commit: str
    is_tag: bool


def list_versions(repository: str) -> list[Version]:
    """Tags, then branches, of a repository. Raises `HubError`."""
    from huggingface_hub import HfApi

    name = HubName(repository)
    with explained(name):
        refs = HfApi().list_repo_refs(repository)
    tags = [Version(ref.name, ref.target_commit, True) for ref in refs.tags]
    return tags + [Version(ref.name, ref.target_commit, False) for ref in refs.branches]


def list_repositories(organisation: str, tag: str) -> list[str]:
    """Repositories of an organisation or user whose card carries `tag`. Raises `HubError`."""
    from huggingface_hub import HfApi

    with explained(HubName(organisation)):
        return sorted(model.id for model in HfApi().list_models(author=organisation, filter=tag))


def list_files(name: HubName, commit: str) -> dict[str, RepoFile]:
    """Path -> size and digest of every file of a repository at a commit. Raises `HubError`."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    with explained(name):
        tree = HfApi().list_repo_tree(name.repository, recursive=True, revision=commit)
        entries = list(islice(tree, MOST_FILES + 1))
    if len(entries) > MOST_FILES:
        raise HubError(f"{name}: lists more than {MOST_FILES} files; this is another kind of repository.")
    return {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}
