"""Recipes of training side by side, over seeds and numbers of labels."""

from phaseno_peft.comparison.compare import DEFAULT_RECIPES, compare
from phaseno_peft.comparison.recipes import RECIPES, find_recipe
from phaseno_peft.comparison.results import Comparison, Run

__all__ = ["DEFAULT_RECIPES", "RECIPES", "Comparison", "Run", "compare", "find_recipe"]
