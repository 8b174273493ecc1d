"""Whatever goes wrong between here and the Hub, told in one sentence with the next step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from phaseno_peft.errors import HubError, PhasenoPeftError
from phaseno_peft.remote.names import HubName


@contextmanager
def explained(name: HubName) -> Iterator[None]:
    """What goes wrong inside is raised as a `HubError` of one sentence; progress bars stay silent."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    had_bars = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    except PhasenoPeftError:
        raise
    except (OSError, ValueError, RuntimeError, http_error()) as error:
        raise HubError(f"{name}: {_explanation(error, name)}") from error
    finally:
        if had_bars:
            enable_progress_bars()


def _explanation(error: Exception, name: HubName) -> str:
    from huggingface_hub import errors, get_token

    status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else None
    who = "the token in use" if get_token() else "someone without a token"
    if isinstance(error, errors.OfflineModeIsEnabled | errors.LocalEntryNotFoundError):
        return "the Hub cannot be reached and the cache has no whole copy. Connect, or unset HF_HUB_OFFLINE."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"there is no revision {name.revision!r}. `phaseno-peft adapters versions {name.repository}` lists them."
    if isinstance(error, errors.GatedRepoError) or status == 403:
        return f"the Hub refuses this to {who}. Ask the owner for access, or use a token with write access."
    if status == 401 and not isinstance(error, errors.RepositoryNotFoundError):
        return "the Hub does not accept the token. Log in again with `hf auth login`, or set another HF_TOKEN."
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"the Hub shows no such repository to {who}. Check the name; if it is private, log in."
    if status == 409:
        return f"exists already, but {who} may not see it. Choose another name, or log in as its owner."
    if status == 412:
        return "someone else pushed meanwhile; nothing was changed. Look at the new commit, then push again."
    if status is not None:
        return f"the Hub answers {status} ({_first_line(error)}). Try again later; a push or pull continues."
    if isinstance(error, errors.HFValidationError):
        return f"not a name that the Hub allows ({_first_line(error)})."
    return f"the connection failed ({_first_line(error)}). Try again; what arrived whole is kept."


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def http_error() -> type[Exception]:
    """Base of the errors of whichever HTTP client `huggingface_hub` uses (it changed between its versions)."""
    from huggingface_hub.errors import HfHubHTTPError

    return next(base for base in HfHubHTTPError.__mro__ if base.__name__ == "HTTPError")
