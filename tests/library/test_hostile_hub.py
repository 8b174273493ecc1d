"""A Hub, or a mirror, that lies, floods, drips and redirects: one sentence each, and nothing else happens."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from phaseno_peft.errors import HubError
from phaseno_peft.hub import HubName, hub_name, transfer
from phaseno_peft.library import list_adapters, list_versions, pull_adapter, push_adapter, read_adapter
from tests.library.machines import Machine
from tests.library.standin_hub import Handler, StandInHub

REPO = "lab/phaseno-tiny-ohio"
SECRET = "hf_secretOfTheUser"
Answer = Callable[[Handler], None]


@pytest.fixture
def mirror(hub: StandInHub, machine: Machine, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> StandInHub:
    """The stand-in with an adapter at tag v1, seen from a second machine with an empty cache and little patience."""
    machine.own(tiny, "tiny-ohio")
    push_adapter("tiny-ohio", REPO, tag="v1", share="all", public=True)
    machine.use("second", token="writer")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.3)
    monkeypatch.setattr(transfer, "SLOWEST_BYTES_PER_S", 1 << 17)
    return hub


def refused(name: str = f"{REPO}@v1") -> str:
    """What a pull says; it must be one sentence or two, soon, and leave nothing."""
    began = time.monotonic()
    with pytest.raises(HubError) as caught:
        pull_adapter(name)
    assert time.monotonic() - began < 5
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    assert list_adapters() == []
    return message


def cached(machine: Machine) -> list[str]:
    """Files of the second machine, cache and library."""
    home = machine.folder / "second"
    return sorted(path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file())


def as_json(value: Any, **headers: str) -> Answer:
    return lambda handler: handler.send(json.dumps(value).encode(), **headers)


def drip(handler: Handler) -> None:
    """A file's head, then its bytes one by one, for ever."""
    handler.send_response(200)
    handler.end_headers()
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(b"x")
            time.sleep(0.01)


def drip_head(handler: Handler) -> None:
    """Header after header, never a body."""
    with contextlib.suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-A: ")
        while True:
            handler.wfile.write(b"x")
            time.sleep(0.01)


def drip_continue(handler: Handler) -> None:
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            time.sleep(0.01)


def drip_chunk(handler: Handler) -> None:
    """The length of a chunk, digit after digit."""
    with contextlib.suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;")
        while True:
            handler.wfile.write(b"x")
            time.sleep(0.01)


def many_headers(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 200 + b"\r\n")
    handler.close_connection = True


def long_header(handler: Handler) -> None:
    with contextlib.suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Y: " + b"z" * (1 << 18) + b"\r\n\r\n")
    handler.close_connection = True


def silent(handler: Handler) -> None:
    time.sleep(1.0)
    handler.close_connection = True


def no_http(handler: Handler) -> None:
    handler.wfile.write(b"220 ftp here " + SECRET.encode() + b"\r\n")
    handler.close_connection = True


COMMIT = "a" * 40
DEEP = b"[" * 200_000
ODD = {
    "not JSON": lambda handler: handler.send(b"<html>log in to the hotel's network</html>"),
    "empty": lambda handler: handler.send(b""),
    "a list": as_json([]),
    "a number": as_json(7),
    "null": as_json(None),
    "no commit": as_json({"id": REPO}),
    "commit is a number": as_json({"sha": 7}),
    "commit is a path": as_json({"sha": "../../../../victim"}),
    "commit is a long path": as_json({"sha": "/" * 40}),
    "deep": lambda handler: handler.send(DEEP),
    "huge number": lambda handler: handler.send(b'{"sha": ' + b"9" * 100_000 + b"}"),
    "not UTF-8": lambda handler: handler.send(b'{"sha": "\xff\xfe"}'),
    "flood": lambda handler: handler.send(b" " * (8 << 20)),
    "compressed": lambda handler: handler.send(b"\x1f\x8b", Content_Encoding="gzip"),
    "no content": lambda handler: handler.send(b"", status=204),
    "negative length": lambda handler: handler.send(b"{}", Content_Length="-7"),
    "length too long": lambda handler: (handler.send(b"{}", Content_Length="90"), handler.connection.close())[0],
    "drip": drip,
    "drip in the head": drip_head,
    "continue for ever": drip_continue,
    "drip in a chunk's length": drip_chunk,
    "many headers": many_headers,
    "long header": long_header,
    "silent": silent,
    "not HTTP": no_http,
    "redirect to itself": lambda handler: handler.send(status=302, Location=handler.path),
    "redirect nowhere": lambda handler: handler.send(status=302),
    "redirect to a file": lambda handler: handler.send(status=302, Location="file:///etc/passwd"),
    "redirect to no address": lambda handler: handler.send(status=302, Location="http://[::"),
    "redirect with a name": lambda handler: handler.send(status=302, Location="http://user:word@localhost:9/"),
    "redirect to text": lambda handler: handler.send(status=307, Location="http://a b/\x7f"),
}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_answer_is_one_sentence_and_leaves_nothing(
    mirror: StandInHub, machine: Machine, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(transfer, "LONGEST_ANSWER_S", 0.6)
    before = cached(machine)
    for part in ("/revision/", "/tree/", "/resolve/"):
        mirror.hostile = {part: ODD[what]}
        assert SECRET not in refused()
        assert cached(machine) == before
    mirror.hostile = {"/refs": ODD[what]}
    with pytest.raises(HubError) as caught:
        list_versions(REPO)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("etag", ['"../../../../victim.txt"', '"/etc/passwd"', "", "x" * 9000])
def test_headers_of_files_name_no_paths(mirror: StandInHub, machine: Machine, etag: str) -> None:
    victims = [machine.folder / place / "victim.txt" for place in ("", "second", "second/cache")]
    for victim in victims:
        victim.parent.mkdir(parents=True, exist_ok=True)
        victim.write_text("precious")
    honest = mirror.repositories[REPO].files

    def answer(handler: Handler) -> None:
        content = honest[handler.path.rpartition(f"{commit_of(mirror)}/")[2]]
        handler.send(content, ETag=etag, X_Linked_Etag=etag, X_Repo_Commit=etag, X_Linked_Size="7")

    mirror.hostile["/resolve/"] = answer
    pull_adapter(f"{REPO}@v1")
    assert [victim.read_text() for victim in victims] == ["precious"] * 3
    assert not [path for path in machine.folder.rglob("*victim*") if path not in victims]


def commit_of(hub: StandInHub) -> str:
    return hub.repositories[REPO].branches["main"]


@pytest.mark.parametrize(
    "revision",
    [
        "v1/../../../../pwned",
        "../pwned",
        "..",
        ".",
        "/etc",
        "v1//x",
        "a/./b",
        "v1/",
        ".git",
        "x" * 300,
        "v1\n",
        "v\u0661",
    ],
)
def test_revisions_that_could_be_paths_are_refused_before_anybody_is_asked(
    mirror: StandInHub, machine: Machine, revision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = len(mirror.requests)
    assert hub_name(f"{REPO}@{revision}") is None
    with pytest.raises(HubError, match="not the name of a revision"):
        HubName(REPO, revision)
    monkeypatch.setenv("PHASENO_PEFT_HUB_ORG", "lab")
    for use in (f"tiny-ohio@{revision}", f"{REPO}@{revision}"):
        with pytest.raises(HubError, match="not the name of a revision"):
            pull_adapter(use)
    assert len(mirror.requests) == asked
    assert not list(machine.folder.rglob("*pwned*"))


def test_a_file_larger_than_announced_is_not_taken(mirror: StandInHub, machine: Machine) -> None:
    sent = 0

    def flood(handler: Handler) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(80):
                handler.wfile.write(bytes(1 << 20))
                sent += 1 << 20
        handler.close_connection = True

    before = cached(machine)
    mirror.hostile["/card.json"] = flood
    assert "sends more than" in refused()
    assert sent < 40 << 20
    assert cached(machine) == before
    mirror.hostile["/card.json"] = lambda handler: handler.send(b"{}")
    assert "announces 2 bytes" in refused()


def test_names_and_sizes_of_a_listing_are_checked(mirror: StandInHub, machine: Machine) -> None:
    there = mirror.repositories[REPO].files
    foreign = {"figures/../../../pwn.png": b"x", "figures/a/b.png": b"x", "origin.json": b"{}", "modeling.py": b"x"}
    mirror.repositories[REPO].commit(there | foreign)
    folder = pull_adapter(REPO)
    names = {path.name for path in machine.folder.rglob("*")}
    assert not {"pwn.png", "b.png", "modeling.py"} & names
    assert (folder / "origin.json").read_bytes() != b"{}"  # ours


@pytest.mark.parametrize(
    "row",
    [
        {"type": "file", "path": 7, "size": 1},
        {"type": "file", "path": "card.json", "size": "3"},
        {"type": "file", "path": "card.json", "size": -1},
        {"type": "file", "path": "card.json", "size": True},
        {"type": "file"},
        "card.json",
    ],
)
def test_rows_of_a_listing_that_are_none_are_refused(mirror: StandInHub, row: Any) -> None:
    mirror.hostile["/tree/"] = as_json([row])
    assert "this is not how the Hub answers" in refused()
    mirror.hostile["/tree/"] = as_json([{"type": "file", "path": f"{i}", "size": 1} for i in range(1001)])
    assert "more than 1000 files" in refused()
    mirror.hostile["/tree/"] = as_json(
        [
            {"type": "file", "path": path, "size": 8 << 20 if path.endswith(".png") else 9}
            for path in (
                "adapter_config.json",
                "adapter_model.safetensors",
                "manifest.json",
                *(f"figures/{i}.png" for i in range(100)),
            )
        ]
    )
    assert "bytes in all, more than" in refused()


@contextlib.contextmanager
def elsewhere() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Another server, and the headers it was asked with."""
    seen: list[dict[str, str]] = []

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(dict(self.headers))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Other)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://localhost:{server.server_address[1]}", seen
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_token_goes_to_the_endpoint_alone_and_files_may_come_from_elsewhere(
    mirror: StandInHub, machine: Machine
) -> None:
    with elsewhere() as (url, seen):
        for part in ("/revision/", "/resolve/"):
            mirror.hostile = {part: lambda handler: handler.send(status=302, Location=url + handler.path)}
            refused()
    assert len(seen) == 2
    assert not any("authorization" in map(str.lower, headers) for headers in seen)
    assert any(b"Bearer writer" in body for body in mirror.bodies)

    honest, commit = mirror.repositories[REPO].files, commit_of(mirror)
    twin = f"http://localhost:{mirror.server_address[1]}/twin"
    mirror.hostile = {
        "/twin": lambda handler: handler.send(honest[handler.path.rpartition(f"{commit}/")[2]]),
        "/resolve/": lambda handler: handler.send(status=302, Location=twin + handler.path),
    }
    assert pull_adapter(f"{REPO}@v1").is_dir()  # as the Hub's large files come from another host


def test_a_token_that_a_mirror_sends_back_is_in_no_message(
    mirror: StandInHub, machine: Machine, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    told = f"your token {SECRET} is bad \x1b[2J"
    for status in (400, 401, 403, 404, 409, 418, 500):
        mirror.hostile["/"] = lambda handler, status=status: handler.send(
            told.encode(), status, X_Error_Message=told, X_Error_Code=SECRET
        )
        for use in (lambda: pull_adapter(REPO), lambda: push_adapter(tiny, REPO), lambda: list_versions(REPO)):
            with pytest.raises(HubError) as caught:
                use()
            assert SECRET not in str(caught.value) + repr(caught.value.__cause__)
            assert "\x1b" not in str(caught.value)
    mirror.hostile.clear()
    with pytest.raises(HubError) as caught:
        push_adapter(tiny, "lab/another")  # the honest stand-in does not know this token
    assert SECRET not in str(caught.value) + repr(caught.value.__cause__)
    monkeypatch.setenv("HF_TOKEN", "hf_\u00e9\u2028secret")
    with pytest.raises(HubError, match="characters that no token has"):
        pull_adapter(REPO)


def test_links_out_of_the_cache_are_neither_followed_nor_removed(mirror: StandInHub, machine: Machine) -> None:
    folder = read_adapter(f"{REPO}@v1").folder
    victim = machine.folder / "victim.json"
    victim.write_bytes((folder / "card.json").read_bytes())
    (folder / "card.json").unlink()
    (folder / "card.json").symlink_to(victim)
    with pytest.raises(HubError, match="link out of the cache"):
        read_adapter(f"{REPO}@v1")
    assert victim.is_file()
    assert read_adapter(f"{REPO}@v1").name == "tiny-ohio"
    ref = folder.parents[1] / "refs" / "v1"
    for bad in ("../../..", "x" * 5000, "\u00e9", ""):
        ref.write_text(bad)
        assert read_adapter(f"{REPO}@v1").name == "tiny-ohio"
    assert victim.is_file()


def test_a_push_to_a_hub_that_answers_oddly_is_one_sentence(hub: StandInHub, machine: Machine, tiny: Path) -> None:
    odd: tuple[Any, ...] = ([], 7, None, {}, {"commitOid": "../x", "commitUrl": "y", "success": True})
    from tests.library import standin_hub

    routes, machine_folder = list(standin_hub.ROUTES), machine.own(tiny, "tiny-ohio")
    for value in odd:
        standin_hub.ROUTES[:] = [
            (m, p, (lambda self, *_, value=value: self._json(value)) if "/commit/" in p else a) for m, p, a in routes
        ]
        try:
            with pytest.raises(HubError) as caught:
                push_adapter("tiny-ohio", REPO)
        finally:
            standin_hub.ROUTES[:] = routes
        assert "this is not how the Hub answers" in str(caught.value)
    assert not (machine_folder / "origin.json").exists()
