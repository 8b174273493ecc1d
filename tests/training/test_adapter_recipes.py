"""Adapters by name, without what they are compared with."""

from __future__ import annotations

import pytest

from phaseno_peft.comparison.recipes import find_recipe as find_any_recipe
from phaseno_peft.errors import AdapterError
from phaseno_peft.training import ADAPTER_RECIPES, find_recipe


def test_every_recipe_of_training_makes_an_adapter_and_can_be_compared() -> None:
    assert len(ADAPTER_RECIPES) == 8
    for name, recipe in ADAPTER_RECIPES.items():
        assert recipe.method is not None
        assert recipe.makes == "adapter"
        assert find_any_recipe(name) is find_recipe(name) is recipe
    assert find_any_recipe("cr-lora:6").method == find_recipe("cr-lora:6").method


@pytest.mark.parametrize("name", ["full", "frozen", "bottleneck", "peft:LoRA", "unfreeze:2", "magic"])
def test_what_makes_no_adapter_is_refused_with_the_command_that_compares(name: str) -> None:
    with pytest.raises(AdapterError, match=rf"recipe '{name}' makes no CR-LoRA adapter\. .*phaseno-peft compare"):
        find_recipe(name)
