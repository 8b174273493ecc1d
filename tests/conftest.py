"""Shared fixtures. Recordings beside the project are used where they are; without them the tests skip and say why."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recordings and golden vectors that lies beside the project in some places."""
    if not (SHARED / "data" / "README.md").is_file():
        pytest.skip("needs the recordings in the folder `shared` beside the project, which is not there")
    return SHARED
