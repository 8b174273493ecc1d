"""Other pickers on the windows that PhaseNO sees: what a user would take instead."""

from phaseno_peft.baselines.load import load_rival, load_rivals
from phaseno_peft.baselines.rival import Rival

__all__ = ["Rival", "load_rival", "load_rivals"]
