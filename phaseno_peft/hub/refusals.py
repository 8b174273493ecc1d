"""Errors of the Hub and of the connection to it, as one sentence with the next step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from phaseno_peft.errors import HubError, PhasenoPeftError
from phaseno_peft.hub.names import HubName
from phaseno_peft.hub.transfer import OddAnswerError, OfflineError, RefusedError, UnreachableError


@contextmanager
def explained(name: HubName, called: str = "") -> Iterator[None]:
    """What goes wrong inside is raised as a `HubError` of one sentence; progress bars stay silent.

    called: what the sentence begins with, by default the name. No token gets into it, nor into what it is raised from.
    """
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    had_bars = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    except PhasenoPeftError:
        raise
    except Exception as error:  # a client may raise anything for an answer it cannot parse
        explained_error = HubError(_without_token(f"{called or name}: {_explanation(error, name)}"))
        if _without_token(repr(error)) == repr(error):
            raise explained_error from error
        raise explained_error from None
    finally:
        if had_bars:
            enable_progress_bars()


def _explanation(error: Exception, name: HubName) -> str:
    from huggingface_hub import errors, get_token

    if isinstance(error, errors.HfHubHTTPError):
        about = error.response.headers.get("X-Error-Message") or ""
        code = error.response.headers.get("X-Error-Code") or ""
        error = RefusedError(error.response.status_code, code, about.startswith("Invalid credentials"))
    who = "the token in use" if get_token() else "someone without a token"
    if isinstance(error, RefusedError):
        return _refusal(error, name, who)
    if isinstance(error, errors.OfflineModeIsEnabled | OfflineError):
        return "the Hub cannot be reached: HF_HUB_OFFLINE is set. Unset it."
    if isinstance(error, OddAnswerError):
        return (
            f"this is not how the Hub answers: it {_first_line(error)}. Nothing was kept of it; check HF_ENDPOINT and "
            "the way there."
        )
    if isinstance(error, errors.HFValidationError):
        return f"not a name that the Hub allows ({_first_line(error)})."
    if isinstance(error, OSError | UnreachableError | _http_error()):
        return f"the connection failed ({_first_line(error)}). Try again; nothing half-done stays here."
    return (
        f"this is not how the Hub answers ({type(error).__name__}: {_first_line(error)}). Check HF_ENDPOINT and the "
        "way there."
    )


def _refusal(error: RefusedError, name: HubName, who: str) -> str:
    if error.code == "RevisionNotFound":
        return f"there is no revision {name.revision!r}. `phaseno-peft adapters versions {name.repository}` lists them."
    if error.code == "GatedRepo" or error.status == 403:
        return f"the Hub refuses this to {who}. Ask the owner for access, or use a token with write access."
    if error.status == 401 and error.is_about_token:
        return "the Hub does not accept the token. Log in again with `hf auth login`, or set another HF_TOKEN."
    if error.code == "RepoNotFound" or error.status == 401:
        return f"the Hub shows no such repository to {who}. Check the name; if it is private, log in."
    if error.status == 409:
        return f"exists already, but {who} may not see it. Choose another name, or log in as its owner."
    if error.status == 412:
        return "someone else pushed meanwhile; nothing was changed. Look at the new commit, then push again."
    return f"the Hub answers {error.status}. Try again later; a push or pull continues."


def _without_token(text: str) -> str:
    from huggingface_hub import get_token

    token = get_token()
    return text.replace(token, "<token>") if token else text


def _first_line(error: Exception) -> str:
    """First line of an error's message, without what a terminal could act on."""
    line = next(iter(_without_token(str(error)).splitlines()), "")
    return "".join(filter(str.isprintable, line))[:200] or type(error).__name__


def _http_error() -> type[Exception]:
    """Base of the errors of whichever HTTP client `huggingface_hub` uses (it changed between its versions)."""
    from huggingface_hub.errors import HfHubHTTPError

    return next(base for base in HfHubHTTPError.__mro__ if base.__name__ == "HTTPError")
