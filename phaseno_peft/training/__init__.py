"""From campaigns to adapters."""

from phaseno_peft.training.adapter import TrainedAdapter, peak_memory_bytes, train_adapter
from phaseno_peft.training.history import Epoch
from phaseno_peft.training.loop import train
from phaseno_peft.training.recipes import ADAPTER_RECIPES, Recipe, cr_lora_recipe, find_recipe
from phaseno_peft.training.settings import QUICK, TrainingSettings
from phaseno_peft.training.unlabelled import Unlabelled

__all__ = [
    "ADAPTER_RECIPES",
    "QUICK",
    "Epoch",
    "Recipe",
    "TrainedAdapter",
    "TrainingSettings",
    "Unlabelled",
    "cr_lora_recipe",
    "find_recipe",
    "peak_memory_bytes",
    "train",
    "train_adapter",
]
