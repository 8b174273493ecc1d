"""The campaign of tests/training and its few windows."""

from pathlib import Path

import pytest
from safetensors.torch import save_file

from tests.backbone.phasenet import phasenet_tensors
from tests.training.conftest import campaign, dataset

__all__ = ["campaign", "dataset"]


@pytest.fixture(scope="session")
def phasenet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights under PhaseNet's published names."""
    path = tmp_path_factory.mktemp("weights") / "phasenet.safetensors"
    save_file(phasenet_tensors(), path)
    return path
