"""What can be trained on a campaign, by name: CR-LoRA, and everything it is compared with."""

from phaseno_peft.training.recipes.table import (
    RECIPES,
    Recipe,
    cr_lora_recipe,
    find_recipe,
    n_trainable,
)

__all__ = ["RECIPES", "Recipe", "cr_lora_recipe", "find_recipe", "n_trainable"]
