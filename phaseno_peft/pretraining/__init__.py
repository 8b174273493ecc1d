"""From recordings, teachers and the simulator to a backbone."""

from phaseno_peft.pretraining.archive import Archive
from phaseno_peft.pretraining.distort import Chances
from phaseno_peft.pretraining.labelled import LabelledSet
from phaseno_peft.pretraining.run import SCRATCH, Pretrained, pretrain
from phaseno_peft.pretraining.settings import PretrainingSettings, StemSettings
from phaseno_peft.pretraining.simulated import Simulator
from phaseno_peft.pretraining.stream import BatchMaker, Sources

__all__ = [
    "SCRATCH",
    "Archive",
    "BatchMaker",
    "Chances",
    "LabelledSet",
    "Pretrained",
    "PretrainingSettings",
    "Simulator",
    "Sources",
    "StemSettings",
    "pretrain",
]
