"""Download upstream's trained checkpoint: one file, one pinned commit, one hash. Nothing else is ever fetched here.

`torch.hub.download_url_to_file` would be less code, but it begins anew after every break, takes a file that was cut
short for whole, and reads without a limit in bytes or time.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from phaseno_peft.backbone.convert import convert_checkpoint
from phaseno_peft.backbone.weights import user_backbones
from phaseno_peft.errors import BackboneError
from phaseno_peft.files import lock, settle

log = logging.getLogger(__name__)

UPSTREAM_NAME = "phaseno-upstream"
UPSTREAM_URL = "https://raw.githubusercontent.com/sun-hongyu/PhaseNO"
UPSTREAM_COMMIT = "63b48dc49e4cad7bebf304a7f9fbc4977373168c"
UPSTREAM_FILE = "models/epoch=19-step=1140000.ckpt"
UPSTREAM_BLOB = "a9a827fb7f8a8fe4eda832e9913ff6a097229a53"
"""git's SHA-1 of "blob <size>\\0" and the file, as the pinned commit's tree lists it."""
LARGEST_BYTES = 1 << 28
_CHUNK = 1 << 16


def fetch_backbone(
    folder: str | Path | None = None,
    *,
    base_url: str = UPSTREAM_URL,
    blob: str = UPSTREAM_BLOB,
    timeout_s: float = 30.0,
    attempts: int = 5,
    progress: Callable[[int, int | None], None] | None = None,
) -> Path:
    """Download, verify and convert upstream's checkpoint; return its backbone folder, at once if it is there already.

    A broken download is continued where it stopped, now and in later calls. `progress` is called with the bytes so far
    and in all (None if the server does not say). Raises `BackboneError` if the server cannot be reached, stays silent
    for `timeout_s` in `attempts` tries that brought nothing, or sends another file.
    """
    folder = Path(folder) if folder is not None else user_backbones() / UPSTREAM_NAME
    part = folder.with_name(folder.name + ".ckpt.part")
    settle(folder)
    if (folder / "config.json").is_file():
        part.unlink(missing_ok=True)  # of a process that was killed once the backbone stood
        return folder
    if not base_url.startswith(("https://", "http://")):
        raise BackboneError(f"backbone fetch: {base_url!r} should begin with https:// or http://.")
    url = f"{base_url.rstrip('/')}/{UPSTREAM_COMMIT}/{urllib.parse.quote(UPSTREAM_FILE)}"
    with lock(folder, "fetching"):
        _download(url, part, timeout_s, attempts, progress)
        if (seen := git_blob(part)) != blob:
            size = part.stat().st_size
            part.unlink()
            raise BackboneError(
                f"{url}: sent {size} bytes with git hash {seen[:12]}, expected {blob[:12]}. The file was altered on "
                "the way or at its source; it was removed. Try again, or from another network."
            )
        converted = convert_checkpoint(part, folder, UPSTREAM_NAME)
        part.unlink()
    return converted


def git_blob(path: Path) -> str:
    """git's SHA-1 of a file, as hexadecimal."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()


def _download(
    url: str, part: Path, timeout_s: float, attempts: int, progress: Callable[[int, int | None], None] | None
) -> None:
    """Fill `part` from where it stops to the end; `attempts` tries in a row may bring nothing before it gives up."""
    barren = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            if _continue(url, part, before, timeout_s, progress):
                return
            error: Exception | str = "the connection closed early"
        except urllib.error.HTTPError as refusal:
            if refusal.code == 416 and before:  # nothing beyond what is here: complete, or of another file
                return
            raise BackboneError(
                f"{url}: the server answers {refusal.code} {refusal.reason}. Convert a copy of the checkpoint with "
                "`phaseno-peft backbone convert FILE.ckpt` instead."
            ) from refusal
        except (OSError, http.client.HTTPException) as failure:  # URLError and timeouts are OSErrors
            error = failure
        barren = barren + 1 if (part.stat().st_size if part.exists() else 0) == before else 0
        if barren >= attempts:
            raise BackboneError(
                f"{url}: {attempts} tries brought nothing ({error}). Check the connection; the next call continues "
                f"after the {before} bytes that are here."
            )
        log.info("%s: %s, trying again", url, error)
        time.sleep(min(0.1 * 2**barren, 5.0))


def _continue(
    url: str, part: Path, before: int, timeout_s: float, progress: Callable[[int, int | None], None] | None
) -> bool:
    """One request. True if the file is complete as far as the server tells."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={before}-"} if before else {})
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:
        if answer.status != 206:  # the whole file, from its beginning
            before = 0
        length = answer.headers.get("Content-Length")
        whole = before + int(length) if length else None
        if whole is not None and whole > LARGEST_BYTES:
            raise BackboneError(f"{url}: {whole} bytes are announced, a checkpoint has far less. Nothing was fetched.")
        with part.open("r+b" if before else "wb") as file:
            file.seek(before)
            done = before
            while block := answer.read(_CHUNK):
                file.write(block)
                done += len(block)
                if done > LARGEST_BYTES:
                    raise BackboneError(f"{url}: sends more than {LARGEST_BYTES} bytes. Stopped.")
                if progress is not None:
                    progress(done, whole)
    return whole is None or done == whole
