"""A stand-in for the Hugging Face Hub on the loopback interface, for the real `huggingface_hub` client.

It keeps repositories in memory, with commits, branches and tags, and answers the calls that pushes and pulls make
(classic LFS, no xet). It can be told to alter what it sends, to be slow, and to die in the middle of a file.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = (".safetensors", ".png")
"""Files that the Hub stores as LFS objects."""


def git_blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Repository:
    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Commit -> path -> content."""
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes]) -> str:
        """Make `files` the content of main."""
        oid = hashlib.sha1(f"{len(self.commits)} {sorted(files)} {time.monotonic_ns()}".encode()).hexdigest()
        self.commits[oid] = files
        self.branches["main"] = oid
        return oid

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[self.branches["main"]]

    def resolve(self, revision: str) -> str | None:
        return (
            self.tags.get(revision) or self.branches.get(revision) or (revision if revision in self.commits else None)
        )


class StandInHub(ThreadingHTTPServer):
    """Tokens: `writer` may write to the organisation, `reader` may only read. Start it with `running()`."""

    daemon_threads = True
    hostile: Mapping[str, Any] = MappingProxyType({})
    """Part of a path -> called with the handler instead of an honest answer to a GET."""
    bodies: list[bytes] | None = None
    """What was sent with requests, headers included."""

    def __init__(self, organisation: str = "lab") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.organisation = organisation
        self.repositories: dict[str, Repository] = {}
        self.uploads: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.sizes_sent: Counter[str] = Counter()
        self.altered: dict[str, bytes] = {}
        """Path -> what is sent instead of the file, of the same size."""
        self.announced_sizes: dict[str, int] = {}
        """Path -> size that the listing says."""
        self.pause_s = 0.0
        self.die_after_bytes: int | None = None
        """Every download breaks off after so many bytes."""
        self.refuse: dict[str, int] = {}
        """Method and part of the path ("POST /commit/") -> status."""
        self.before_commit: Any = None
        """Called when a commit arrives: somebody else may be faster."""
        self.hostile = {}
        self.bodies = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def asked(self, part: str) -> list[str]:
        """Requests so far whose line has `part`."""
        return [line for line in self.requests if part in line]

    @contextmanager
    def running(self) -> Iterator[StandInHub]:
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            thread.join()
            self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


class Handler(BaseHTTPRequestHandler):
    server: StandInHub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: 40 ms a request otherwise

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(length)
        address = urlsplit(self.path)
        path, query = unquote(address.path), parse_qs(address.query)
        self.server.requests.append(f"{self.command} {path}")
        if self.server.bodies is not None:
            self.server.bodies.append(str(self.headers).encode() + body)
        for part, answer in self.server.hostile.items():
            if self.command == "GET" and part in path:
                return answer(self)
        for asked, status in self.server.refuse.items():
            method, part = asked.split()
            if self.command == method and part in path:
                return self._error(status, "refused by the test")
        for method, pattern, answer in ROUTES:
            if self.command in method and (found := re.fullmatch(pattern, path)):
                return answer(self, body, query, *found.groups())
        return self._error(404, f"the stand-in knows no {self.command} {path}")

    # who is asking

    @property
    def token(self) -> str | None:
        header = self.headers.get("Authorization") or ""
        return header.removeprefix("Bearer ") or None

    def _may_write(self, repository: str) -> bool:
        if self.token not in ("writer", "reader"):
            self._error(401, "Invalid credentials in Authorization header")
        elif self.token != "writer" or not repository.startswith(f"{self.server.organisation}/"):
            self._error(403, "you have no write access here")
        else:
            return True
        return False

    def _find(self, repository: str) -> Repository | None:
        if self.token not in (None, "writer", "reader"):
            self._error(401, "Invalid credentials in Authorization header")
            return None
        found = self.server.repositories.get(repository)
        if found is None or (found.private and self.token is None):
            self._error(404 if self.token else 401, "Repository Not Found", code="RepoNotFound")
            return None
        return found

    def _find_commit(self, repository: str, revision: str) -> tuple[Repository, str] | None:
        found = self._find(repository)
        if found is None:
            return None
        commit = found.resolve(revision)
        if commit is None:
            self._error(404, "Revision Not Found", code="RevisionNotFound")
            return None
        return found, commit

    # answers

    def send(self, content: bytes = b"", status: int = 200, **headers: str) -> None:
        """A whole answer; `X_Y="z"` is the header X-Y, and a length that is given is announced in place of the true."""
        self.send_response(status)
        for name, value in {"Content_Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def _json(self, value: Any, status: int = 200) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _error(self, status: int, message: str, code: str = "") -> None:
        content = json.dumps({"error": message}).encode()
        self.send_response(status)
        self.send_header("X-Error-Message", message)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def create(self, body: bytes, _query: Any) -> None:
        asked = json.loads(body)
        name = f"{asked.get('organization') or 'writer'}/{asked['name']}"
        if not self._may_write(name):
            return
        if name in self.server.repositories:
            self._json({"error": "You already created this model repo", "url": f"{self.server.url}/{name}"}, 409)
            return
        private = bool(asked.get("private")) or asked.get("visibility") == "private"
        made = self.server.repositories[name] = Repository(private=private)
        made.commit({".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"})
        self._json({"url": f"{self.server.url}/{name}", "name": name, "id": name})

    def info(self, _body: bytes, _query: Any, name: str, revision: str | None) -> None:
        if found := self._find_commit(name, revision or "main"):
            repository, commit = found
            files = [{"rfilename": path} for path in repository.commits[commit]]
            self._json({"id": name, "sha": commit, "private": repository.private, "tags": [], "siblings": files})

    def models(self, _body: bytes, query: dict[str, list[str]]) -> None:
        wanted = [f"- {tag}\n".encode() for tag in query.get("filter", [])]
        author = query.get("author", [""])[0]
        rows = [
            {"id": name, "sha": repository.branches["main"], "private": repository.private, "tags": []}
            for name, repository in self.server.repositories.items()
            if name.startswith(f"{author}/") and all(tag in repository.files.get("README.md", b"") for tag in wanted)
        ]
        self._json(rows)

    def tree(self, _body: bytes, _query: Any, name: str, revision: str) -> None:
        if found := self._find_commit(name, revision):
            repository, commit = found
            rows: list[dict[str, Any]] = []
            for path, content in repository.commits[commit].items():
                size = self.server.announced_sizes.get(path, len(content))
                row: dict[str, Any] = {"type": "file", "path": path, "size": size, "oid": git_blob(content)}
                if path.endswith(LARGE):
                    row["lfs"] = {"oid": sha256(content), "size": size, "pointerSize": 134}
                rows.append(row)
            folders = {path.rpartition("/")[0] for path in repository.commits[commit] if "/" in path}
            rows += [{"type": "directory", "path": folder, "oid": "0" * 40} for folder in folders]
            self._json(rows)

    def refs(self, _body: bytes, _query: Any, name: str) -> None:
        if repository := self._find(name):
            rows = {
                kind: [{"name": n, "ref": f"refs/{part}/{n}", "targetCommit": commit} for n, commit in there.items()]
                for kind, part, there in (("branches", "heads", repository.branches), ("tags", "tags", repository.tags))
            }
            self._json({**rows, "converts": []})

    def validate(self, _body: bytes, _query: Any) -> None:
        self._json({"errors": [], "warnings": []})

    def preupload(self, body: bytes, _query: Any, name: str, _revision: str) -> None:
        if self._may_write(name):
            files = json.loads(body)["files"]
            mode = {file["path"]: "lfs" if file["path"].endswith(LARGE) else "regular" for file in files}
            self._json({"files": [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in mode.items()]})

    def lfs_batch(self, body: bytes, _query: Any, name: str) -> None:
        if not self._may_write(name):
            return
        objects = []
        for asked in json.loads(body)["objects"]:
            url = f"{self.server.url}/lfs/{asked['oid']}"
            actions = {"upload": {"href": url}, "verify": {"href": f"{url}/verify"}}
            objects.append(asked if asked["oid"] in self.server.uploads else {**asked, "actions": actions})
        self._json({"transfer": "basic", "objects": objects})

    def lfs_upload(self, body: bytes, _query: Any, oid: str) -> None:
        self.server.uploads[oid] = body
        self._json({})

    def lfs_verify(self, body: bytes, _query: Any, oid: str) -> None:
        self._json({}, 200 if len(self.server.uploads[oid]) == json.loads(body)["size"] else 422)

    def commit(self, body: bytes, _query: Any, name: str, _revision: str) -> None:
        if not self._may_write(name):
            return
        if self.server.before_commit is not None:
            self.server.before_commit()
        repository = self.server.repositories[name]
        files = dict(repository.files)
        for line in map(json.loads, body.decode().splitlines()):
            value = line["value"]
            if line["key"] == "header" and value.get("parentCommit") not in (None, repository.branches["main"]):
                return self._error(412, "A commit has happened since. Please refresh and try again.")
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.uploads[value["oid"]]
            elif line["key"] == "deletedFile":
                files.pop(value["path"])
        oid = repository.commit(files)
        url = f"{self.server.url}/{name}/commit/{oid}"
        return self._json({"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})

    def tag(self, body: bytes, _query: Any, name: str, revision: str) -> None:
        if not self._may_write(name) or not (found := self._find_commit(name, revision)):
            return
        wanted = json.loads(body)["tag"]
        if wanted in found[0].tags:
            return self._error(409, "Tag already exists")
        found[0].tags[wanted] = found[1]
        return self._json({})

    def resolve(self, _body: bytes, _query: Any, name: str, revision: str, path: str) -> None:
        found = self._find_commit(name, revision)
        if found is None:
            return
        content = found[0].commits[found[1]].get(path)
        if content is None:
            return self._error(404, "Entry Not Found", code="EntryNotFound")
        etag = sha256(content) if path.endswith(LARGE) else git_blob(content)
        sent = self.server.altered.get(path, content)
        first = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if first else 200)
        self.send_header("X-Repo-Commit", found[1])
        self.send_header("ETag", f'"{etag}"')
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(sent) - 1}/{len(sent)}")
        self.send_header("Content-Length", str(len(sent) - first))
        self.end_headers()
        if self.command == "HEAD":
            return None
        rest, death = sent[first:], self.server.die_after_bytes
        for start in range(0, len(rest), 4096):
            time.sleep(self.server.pause_s)
            block = rest[start : start + 4096]
            self.wfile.write(block if death is None else block[: max(0, death - start)])
            self.server.sizes_sent[path] += len(block)
            if death is not None and start + len(block) >= death:
                self.close_connection = True
                self.wfile.flush()
                self.connection.close()
                return None
        return None


REPO = r"([\w.-]+/[\w.-]+)"
ROUTES: list[tuple[tuple[str, ...], str, Any]] = [
    (("POST",), r"/api/repos/create", Handler.create),
    (("POST",), r"/api/validate-yaml", Handler.validate),
    (("GET",), r"/api/models", Handler.models),
    (("GET",), rf"/api/models/{REPO}(?:/revision/(.+))?", Handler.info),
    (("GET",), rf"/api/models/{REPO}/tree/([^/]+)", Handler.tree),
    (("GET",), rf"/api/models/{REPO}/refs", Handler.refs),
    (("POST",), rf"/api/models/{REPO}/preupload/([^/]+)", Handler.preupload),
    (("POST",), rf"/{REPO}\.git/info/lfs/objects/batch", Handler.lfs_batch),
    (("PUT",), r"/lfs/(\w+)", Handler.lfs_upload),
    (("POST",), r"/lfs/(\w+)/verify", Handler.lfs_verify),
    (("POST",), rf"/api/models/{REPO}/commit/([^/]+)", Handler.commit),
    (("POST",), rf"/api/models/{REPO}/tag/([^/]+)", Handler.tag),
    (("GET", "HEAD"), rf"/{REPO}/resolve/([^/]+)/(.+)", Handler.resolve),
]
