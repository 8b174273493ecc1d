"""Other pickers on the windows that PhaseNO sees: what a user would take instead."""

from phaseno_peft.baselines.baselines import Rival, load_rival, load_rivals

__all__ = ["Rival", "load_rival", "load_rivals"]
