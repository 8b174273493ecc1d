"""Folds side by side train exactly the recipe that was given, as far as it can travel to other processes."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from phaseno_peft.backbone import load_backbone
from phaseno_peft.campaign import Campaign, fold_campaign
from phaseno_peft.cr_lora import CRLoraSettings
from phaseno_peft.errors import AdapterError
from phaseno_peft.training import ADAPTER_RECIPES, Recipe, cr_lora_recipe, find_recipe, out_of_fold, train_adapter
from phaseno_peft.training.dataset import CampaignDataset
from phaseno_peft.training.fit import TrainingCallbacks
from phaseno_peft.training.outcome import Task
from phaseno_peft.training.recipes import n_trainable
from tests.training.test_cross_fit import SHORT

BRIEF = dataclasses.replace(SHORT, epochs=1)


@contextmanager
def here(function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], at_once: int) -> Iterator[Iterator[Any]]:
    """`side_by_side` without its processes, which need seconds to start: arguments travel all the same."""
    yield (function(*pickle.loads(pickle.dumps(job))) for job in jobs)


def test_recipe_and_number_of_labels_are_those_that_were_given(
    campaign: Campaign, small_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(out_of_fold, "side_by_side", here)
    recipe = cr_lora_recipe(CRLoraSettings(r=2))
    four = dataclasses.replace(campaign, recordings=campaign.recordings[:4])
    folds, begun = fold_campaign(four, 2, 0), []
    callbacks = TrainingCallbacks(on_epoch=begun.append)
    task = Task(recipe, BRIEF, small_backbone, "cpu", tmp_path, callbacks)
    found = out_of_fold.fit_folds(task, folds, CampaignDataset(four, folds.whole, [], [], 0), at_once=2, labels=1)
    assert not begun  # each fold was trained side by side, none again
    assert [one.n_events for one in found.fits] == [1, 1]
    default = n_trainable(find_recipe("cr-lora").model(load_backbone(small_backbone), 0))
    assert all(0 < one.n_trainable < default for one in found.fits)


def test_a_recipe_that_cannot_travel_is_refused_before_anything_is_trained(
    campaign: Campaign, small_backbone: Path, tmp_path: Path
) -> None:
    plain = find_recipe("se-only")
    recipe = dataclasses.replace(plain, name="of-my-own", build=lambda backbone: plain.build(backbone))

    def never(_: object) -> None:
        raise AssertionError("an epoch was trained")

    with pytest.raises(AdapterError, match=r"'of-my-own' cannot be sent to processes .*Leave `at_once` out"):
        train_adapter(
            "one", campaign, folder=tmp_path, backbone=small_backbone, recipe=recipe, training=BRIEF, folds=2,
            at_once=2, on_epoch=never,
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("recipe", [*ADAPTER_RECIPES.values(), find_recipe("cr-lora:6")], ids=lambda one: one.name)
def test_every_recipe_of_ours_travels_and_stays_what_it_is(recipe: Recipe) -> None:
    recipe.check_travels()
    again = pickle.loads(pickle.dumps(recipe))
    assert dataclasses.replace(again, build=recipe.build) == recipe
