"""The campaign of tests/training and its few windows."""

from tests.training.conftest import campaign, dataset

__all__ = ["campaign", "dataset"]
