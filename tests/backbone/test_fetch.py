"""The download of upstream's checkpoint, against a server on this machine that breaks off, alters and dawdles."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from phaseno_peft.backbone import PhaseNO, fetch, fetch_backbone, fingerprint, load_backbone
from phaseno_peft.errors import BackboneError
from tests.backbone.test_weights import lightning_checkpoint


class Server(ThreadingHTTPServer):
    """Sends `content`; `breaks` lists after how many bytes each answer stops early; `pause_s` lies between blocks."""

    daemon_threads = True
    content = b""
    ranges = True
    announces = True
    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.breaks: list[int] = []
        self.pause_s = 0.0
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/sun-hongyu/PhaseNO"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append((self.path, asked))
        first = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.ranges else 0
        rest = self.server.content[first:]
        if self.server.status != 200 or (first and not rest):
            self.send_error(416 if first else self.server.status)
            return
        self.send_response(206 if first else 200)
        if self.server.announces:
            self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if self.server.breaks:
            rest = rest[: self.server.breaks.pop(0)]
        for i in range(0, len(rest), 1 << 20):
            time.sleep(self.server.pause_s)
            try:
                self.wfile.write(rest[i : i + (1 << 20)])
            except OSError:
                return
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(4)
    path = tmp_path_factory.mktemp("upstream") / "upstream.ckpt"
    torch.save(lightning_checkpoint(PhaseNO()), path)
    return path


@pytest.fixture
def server(checkpoint: Path) -> Iterator[Server]:
    with Server() as server:
        server.content = checkpoint.read_bytes()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_download_is_verified_converted_and_kept(server: Server, checkpoint: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    folder = tmp_path / "home" / "phaseno-upstream"
    result = fetch_backbone(
        folder,
        base_url=server.url,
        blob=fetch.git_blob(checkpoint),
        progress=lambda done, whole: seen.append((done, whole)),
    )
    size = checkpoint.stat().st_size
    assert result == folder
    assert [path.name for path in folder.parent.iterdir()] == ["phaseno-upstream"]
    assert seen[-1] == (size, size)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    model = PhaseNO()
    model.load_state_dict({name: tensor for name, tensor in state.items() if not name.startswith("criterion")})
    assert fingerprint(load_backbone(folder)) == fingerprint(model)
    path, _ = server.asked[0]
    assert path.endswith(f"/{fetch.UPSTREAM_COMMIT}/models/epoch%3D19-step%3D1140000.ckpt")
    fetch_backbone(folder, base_url=server.url)
    assert len(server.asked) == 1  # it is there: nothing is asked again


@pytest.mark.parametrize("ranges", [True, False], ids=["server resumes", "server starts again"])
def test_broken_download_is_continued(server: Server, checkpoint: Path, tmp_path: Path, ranges: bool) -> None:
    server.ranges, server.breaks = ranges, [5_000_000, 3_000_000]
    fetch_backbone(tmp_path / "b", base_url=server.url, blob=fetch.git_blob(checkpoint))
    assert [asked for _, asked in server.asked][:2] == [None, "bytes=5000000-"]
    assert (tmp_path / "b" / "config.json").is_file()


def test_later_call_continues_what_an_earlier_one_left(server: Server, checkpoint: Path, tmp_path: Path) -> None:
    server.breaks = [4_000_000, 0, 0]
    with pytest.raises(BackboneError, match=r"2 tries brought nothing.*4000000 bytes"):
        fetch_backbone(tmp_path / "b", base_url=server.url, blob=fetch.git_blob(checkpoint), attempts=2)
    assert not (tmp_path / "b").exists()
    fetch_backbone(tmp_path / "b", base_url=server.url, blob=fetch.git_blob(checkpoint))
    assert server.asked[-1][1] == "bytes=4000000-"


def test_complete_part_of_an_earlier_call_is_used(server: Server, checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "b.ckpt.part").write_bytes(server.content)
    fetch_backbone(tmp_path / "b", base_url=server.url, blob=fetch.git_blob(checkpoint))
    assert (tmp_path / "b" / "model.safetensors").is_file()


@pytest.mark.parametrize("announces", [True, False], ids=["length announced", "length unknown"])
def test_altered_file_is_refused_and_removed(server: Server, checkpoint: Path, tmp_path: Path, announces: bool) -> None:
    server.announces = announces
    server.content = server.content[:1000] + b"\x01" + server.content[1001:]
    with pytest.raises(BackboneError, match="expected " + fetch.git_blob(checkpoint)[:12]):
        fetch_backbone(tmp_path / "b", base_url=server.url, blob=fetch.git_blob(checkpoint))
    assert list(tmp_path.iterdir()) == []


def test_truncated_file_is_refused_where_no_length_is_announced(
    server: Server, checkpoint: Path, tmp_path: Path
) -> None:
    server.announces, server.content = False, server.content[:9_000_000]
    with pytest.raises(BackboneError, match="9000000 bytes"):
        fetch_backbone(tmp_path / "b", base_url=server.url, blob=fetch.git_blob(checkpoint))


def test_slow_server_is_waited_for_and_a_silent_one_is_not(server: Server, checkpoint: Path, tmp_path: Path) -> None:
    server.pause_s = 0.02
    fetch_backbone(tmp_path / "slow", base_url=server.url, blob=fetch.git_blob(checkpoint), timeout_s=1)
    server.pause_s = 2.0
    with pytest.raises(BackboneError, match="1 tries brought nothing"):
        fetch_backbone(tmp_path / "silent", base_url=server.url, timeout_s=0.2, attempts=1)


def test_refusals_say_what_to_do(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(BackboneError, match=r"answers 404.*convert FILE.ckpt"):
        fetch_backbone(tmp_path / "b", base_url=server.url)
    with pytest.raises(BackboneError, match="should begin with https"):
        fetch_backbone(tmp_path / "b", base_url="file:///etc")
    assert list(tmp_path.iterdir()) == []


def test_endless_file_is_stopped(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "LARGEST_BYTES", 1_000_000)
    for announces in (True, False):
        server.announces = announces
        with pytest.raises(BackboneError, match="bytes"):
            fetch_backbone(tmp_path / "b", base_url=server.url)


def test_pinned_hash_is_gits_blob_hash(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"hello\n")
    assert fetch.git_blob(tmp_path / "f") == "ce013625030ba8dba906f756967f9e9ca394464a"  # git hash-object, "hello\n"
    assert fetch.UPSTREAM_BLOB == "a9a827fb7f8a8fe4eda832e9913ff6a097229a53"  # golden/README.md
