"""Where a user's adapters and backbones are kept."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

HOME_VARIABLE = "PHASENO_PEFT_HOME"


def user_folder() -> Path:
    """`$PHASENO_PEFT_HOME`, else the platform's data folder of phaseno-peft."""
    home = os.environ.get(HOME_VARIABLE)
    return (Path(home) if home else Path(platformdirs.user_data_dir("phaseno-peft", appauthor=False))).expanduser()
