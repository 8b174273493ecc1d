"""What can be trained on a campaign side by side: adapters, and everything they are compared with."""

from phaseno_peft.comparison.recipes.table import RECIPES, find_recipe

__all__ = ["RECIPES", "find_recipe"]
