"""GET requests to the Hub, or a mirror, with limits on size, time and redirects.

`huggingface_hub` reads answers whole, whatever their size and duration, and makes file paths of their headers. So all
reading is done here, with one kind of request; its settings (endpoint, token, timeout, offline) hold.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from phaseno_peft.errors import HubError

LARGEST_ANSWER_BYTES = 4 << 20
"""Of an answer in JSON; a listing of 1,000 files has 300 kB."""
LONGEST_ANSWER_S = 60.0
"""Of an answer in JSON, however it trickles in."""
SLOWEST_BYTES_PER_S = 1024
"""Less than this, after the first `patience_s`, is treated as a connection that will never finish."""
MOST_REDIRECTS = 5
_BLOCK_BYTES = 1 << 16
_REDIRECTS = (301, 302, 303, 307, 308)


class RefusedError(Exception):
    """The Hub answers with an error. Its message is left out: it could hold anything."""

    def __init__(self, status: int, code: str, is_about_token: bool) -> None:
        super().__init__(f"status {status}")
        self.status, self.code, self.is_about_token = status, code, is_about_token


class UnreachableError(Exception):
    """No answer, or one that broke off or did not finish in time."""


class OfflineError(UnreachableError):
    """HF_HUB_OFFLINE is set."""


class OddAnswerError(Exception):
    """An answer that the Hub's documented interface does not have."""


def get_json(path: str, query: Mapping[str, str] | None = None) -> Any:
    """The answer to GET `path` of the Hub. Raises the errors above."""
    address = quote(path) + (f"?{urlencode(query)}" if query else "")
    content = b"".join(_blocks(address, LARGEST_ANSWER_BYTES, None, LONGEST_ANSWER_S))
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise OddAnswerError(f"is not JSON ({type(error).__name__})") from None


def get_file(path: str, n_bytes: int, longest_s: float) -> Iterator[bytes]:
    """The file at `path` of the Hub in blocks, `n_bytes` in all and not one more. Raises the errors above."""
    return _blocks(quote(path), n_bytes, n_bytes, longest_s)


def patience_s() -> float:
    """How long a server may be silent, and how long it may be slow at first: $HF_HUB_DOWNLOAD_TIMEOUT."""
    from huggingface_hub import constants

    return float(constants.HF_HUB_DOWNLOAD_TIMEOUT)


def _blocks(address: str, largest_bytes: int, n_bytes: int | None, longest_s: float) -> Iterator[bytes]:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise OfflineError("HF_HUB_OFFLINE is set")
    endpoint = str(constants.ENDPOINT)
    url = _checked_redirect(endpoint, endpoint + address)
    longest_s = min(longest_s, patience_s() + largest_bytes / SLOWEST_BYTES_PER_S)
    for _ in range(MOST_REDIRECTS + 1):
        headers = _authorization() if _origin(url) == _origin(endpoint) else {}
        with _answer(url, headers, longest_s) as answer:
            if answer.status in _REDIRECTS:
                url = _checked_redirect(url, urljoin(url, answer.headers.get("Location") or ""))
                continue
            if answer.status != 200:
                about = answer.headers.get("X-Error-Message") or ""
                raise RefusedError(
                    answer.status, answer.headers.get("X-Error-Code") or "", about.startswith("Invalid credentials")
                )
            yield from _body(answer, largest_bytes, n_bytes)
            return
    raise OddAnswerError(f"sends from one address to the next more than {MOST_REDIRECTS} times")


def _body(answer: http.client.HTTPResponse, largest_bytes: int, n_bytes: int | None) -> Iterator[bytes]:
    if (encoding := answer.headers.get("Content-Encoding") or "identity") != "identity":
        raise OddAnswerError(f"comes compressed ({encoding[:20]!r}), which was not asked for")
    announced, started, done = answer.length, time.monotonic(), 0
    if announced is not None and (announced > largest_bytes or announced != (n_bytes or announced)):
        raise OddAnswerError(f"announces {announced} bytes, not {'the' if n_bytes else 'at most'} {largest_bytes}")
    while block := answer.read1(_BLOCK_BYTES):
        done += len(block)
        if done > largest_bytes:
            raise OddAnswerError(f"sends more than {largest_bytes} bytes")
        if (time.monotonic() - started - patience_s()) * SLOWEST_BYTES_PER_S > done:
            raise UnreachableError(f"sent {done} bytes in {time.monotonic() - started:.0f} s, which will not end")
        yield block
    if done != (announced if n_bytes is None else n_bytes) and (n_bytes, announced) != (None, None):
        raise UnreachableError(f"broke off after {done} bytes")


@contextlib.contextmanager
def _answer(url: str, headers: Mapping[str, str], longest_s: float) -> Iterator[http.client.HTTPResponse]:
    """The answer of one server, read until `longest_s` have passed: then its connection is cut, whatever it sends."""
    connection = _CancellableConnection()
    watch = threading.Timer(longest_s, connection.cut)
    watch.daemon = True
    watch.start()
    try:
        request = urllib.request.Request(url, headers={"Accept-Encoding": "identity", **headers})
        with _opener(connection).open(request, timeout=patience_s()) as answer:
            yield answer
        connection.check()
    except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
        connection.check()
        reason = getattr(error, "reason", error)  # the text of an HTTPException is the server's
        raise UnreachableError(str(reason) if isinstance(reason, OSError) else type(reason).__name__) from None
    except ValueError as error:  # an invalid address
        raise OddAnswerError(f"sends to an address that is none ({type(error).__name__})") from None
    finally:
        watch.cancel()


class _CancellableConnection:
    """The connection of one request, to be cut from another thread."""

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        self.is_cut = False

    def cut(self) -> None:
        self.is_cut = True
        if self.socket is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self.socket, socket.SHUT_RDWR)

    def check(self) -> None:
        if self.is_cut:
            raise UnreachableError("took longer than its limit")

    def on(self, kind: type[http.client.HTTPConnection]) -> type[http.client.HTTPConnection]:
        """`kind`, registered here, so that it can be cut."""
        outer = self

        class Connection(kind):  # type: ignore[misc, valid-type]  # of the class that is given
            def connect(self) -> None:
                super().connect()
                outer.socket = self.sock
                outer.check()

        return Connection


def _opener(connection: _CancellableConnection) -> urllib.request.OpenerDirector:
    """Opens http and https through the proxies of the environment; follows nothing, raises for no status."""

    class Http(urllib.request.HTTPHandler):
        def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(connection.on(http.client.HTTPConnection), request)

    class Https(urllib.request.HTTPSHandler):
        def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(connection.on(http.client.HTTPSConnection), request, context=_tls())

    opener = urllib.request.OpenerDirector()
    opener.addheaders = [("User-Agent", "phaseno-peft")]
    for handler in (urllib.request.ProxyHandler(), Http(), Https()):
        opener.add_handler(handler)
    return opener


def _tls() -> ssl.SSLContext:
    """The system's authorities, or those of $SSL_CERT_FILE; and `certifi`'s, as not every Python finds the system's."""
    context = ssl.create_default_context()
    if not {"SSL_CERT_FILE", "SSL_CERT_DIR"} & set(os.environ):
        with contextlib.suppress(ImportError):
            import certifi

            context.load_verify_locations(certifi.where())
    return context


def _authorization() -> dict[str, str]:
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # documented, not re-exported

    found = build_hf_headers().get("authorization")
    if found is None:
        return {}
    if not (found.isascii() and found.isprintable()):  # the error of http.client would show it
        raise HubError("the token for the Hub has characters that no token has. Log in again with `hf auth login`.")
    return {"Authorization": found}


def _checked_redirect(here: str, url: str) -> str:
    """`url`, if an answer of `here` may redirect to it: over http or https, and never from https to http."""
    try:
        there = urlsplit(url)
        is_fine = there.scheme in ("http", "https") and bool(there.hostname) and there.port != 0
    except ValueError:
        is_fine = False
    if not is_fine or (url != here and "@" in there.netloc and not url.startswith(here)):
        raise OddAnswerError("sends to an address that is none")
    if urlsplit(here).scheme == "https" and there.scheme != "https":
        raise OddAnswerError("sends from https to http, where anybody may read and write")
    return url


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def write_blocks(path: Path, blocks: Iterator[bytes]) -> None:
    """Fill a new file."""
    with path.open("xb") as file:
        for block in blocks:
            file.write(block)
