"""From campaigns to adapters."""

from phaseno_peft.training.adapter import TrainedAdapter, peak_memory_bytes, train_adapter
from phaseno_peft.training.loop import Epoch, TrainingSettings, train

__all__ = ["Epoch", "TrainedAdapter", "TrainingSettings", "peak_memory_bytes", "train", "train_adapter"]
