"""Pseudo-labels for campaigns without picks: a teacher's picks, those of them that others support, a catalogue."""

from phaseno_peft.labelling.coincidence import Coincidence, coincide
from phaseno_peft.labelling.pseudo import PseudoLabels, pseudo_label
from phaseno_peft.labelling.teachers import Teacher, load_teacher

__all__ = [
    "Coincidence",
    "PseudoLabels",
    "Teacher",
    "coincide",
    "load_teacher",
    "pseudo_label",
]
