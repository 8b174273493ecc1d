"""Where a user's adapters and backbones are kept, and where those that come with the package lie."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

HOME_VARIABLE = "PHASENO_PEFT_HOME"
ASSETS = Path(__file__).resolve().parent / "assets"


def user_folder() -> Path:
    """`$PHASENO_PEFT_HOME`, else the platform's data folder of phaseno-peft."""
    home = os.environ.get(HOME_VARIABLE)
    return (Path(home) if home else Path(platformdirs.user_data_dir("phaseno-peft", appauthor=False))).expanduser()


def cache_folder() -> Path:
    """`cache` in `$PHASENO_PEFT_HOME`, else the platform's cache folder of phaseno-peft: what can be made again."""
    home = os.environ.get(HOME_VARIABLE)
    return (Path(home) / "cache" if home else Path(platformdirs.user_cache_dir("phaseno-peft", False))).expanduser()


def shipped_folder(name: str) -> Path:
    """A top-level folder of the project ("adapters", "cards"): inside an installed package, or beside it in a checkout.

    The wheel puts these folders under `assets`; an editable install leaves them where they are.
    """
    inside = ASSETS / name
    return inside if inside.is_dir() else ASSETS.parents[1] / name
