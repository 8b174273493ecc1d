"""What mkdocs asks for while it builds: generated pages, and files of the project that pages link to.

Pages link to files outside `docs/` by their place in the project (`../CHANGELOG.md`, `../examples/demo/x.png`), so that
they can be read as plain Markdown. The site gets a copy of each under `project/`.
"""

from __future__ import annotations

import logging
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(Path(__file__).resolve().parent))

from generated_pages import api_page, commands_page, messages_page  # noqa: E402  # beside this file

log = logging.getLogger("mkdocs.hooks.phaseno_peft")  # a warning of mkdocs' own, which fails a strict build
_LINK = re.compile(r"(\]\()(?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?(\))")
_COPIED = "project/"
_GENERATED = {"commands.md": commands_page, "api.md": api_page, "messages.md": messages_page}


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the generated pages and what the pages link to outside `docs/`."""
    for name, make in _GENERATED.items():
        files.append(File.generated(config, name, content=make()))
    waiting = [(f"docs/{file.src_uri}", file.content_string) for file in files.documentation_pages()]
    while waiting:
        place, text = waiting.pop()
        for target in _targets(place, text):
            uri = _site_uri(target)
            if files.get_file_from_path(uri) is None and (ROOT / target).is_file():
                files.append(File.generated(config, uri, abs_src_path=str(ROOT / target)))
                if target.endswith(".md"):
                    waiting.append((target, (ROOT / target).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turn links by place in the project into links by place in the site."""
    uri = page.file.src_uri
    place = uri.removeprefix(_COPIED) if uri.startswith(_COPIED) else f"docs/{uri}"

    def link(found: re.Match[str]) -> str:
        target = _resolved(place, found[2])
        if not (ROOT / target).exists() and _site_uri(target) not in _GENERATED:
            log.warning("%s links to %s, which is not there", place, found[2])
        if (ROOT / target).is_dir():
            return f"{found[1]}{_relative(uri, _site_uri(_index_of(target)))}{found[4]}"
        return f"{found[1]}{_relative(uri, _site_uri(target))}{found[3] or ''}{found[4]}"

    return _LINK.sub(link, markdown)


def _targets(place: str, text: str) -> set[str]:
    """Files of the project, outside `docs/`, that a page at `place` links to."""
    found = {_resolved(place, match[2]) for match in _LINK.finditer(text)}
    found = {_index_of(target) if (ROOT / target).is_dir() else target for target in found}
    return {target for target in found if not target.startswith("docs/")}


def _index_of(folder: str) -> str:
    return f"{folder.rstrip('/')}/README.md"


def _resolved(place: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(place), link))


def _site_uri(target: str) -> str:
    return target.removeprefix("docs/") if target.startswith("docs/") else f"{_COPIED}{target}"


def _relative(from_uri: str, to_uri: str) -> str:
    return posixpath.relpath(to_uri, posixpath.dirname(from_uri) or ".")
