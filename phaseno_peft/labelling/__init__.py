"""Campaigns without picks: a teacher's picks, those of them that others support, and what to label by hand next."""

from phaseno_peft.labelling.coincidence import Coincidence, coincide
from phaseno_peft.labelling.pseudo import PseudoLabels, pseudo_label
from phaseno_peft.labelling.suggested_files import write_suggestions
from phaseno_peft.labelling.suggested_labels import SuggestedLabels, Suggestion, suggest_labels
from phaseno_peft.labelling.teachers import Teacher, load_teacher

__all__ = [
    "Coincidence",
    "PseudoLabels",
    "SuggestedLabels",
    "Suggestion",
    "Teacher",
    "coincide",
    "load_teacher",
    "pseudo_label",
    "suggest_labels",
    "write_suggestions",
]
