"""From recordings, teachers and the simulator to a backbone."""

from phaseno_peft.pretraining.batches import BatchMaker, Sources
from phaseno_peft.pretraining.continuous import Archive
from phaseno_peft.pretraining.distort import Chances
from phaseno_peft.pretraining.run import SCRATCH, Pretrained, pretrain
from phaseno_peft.pretraining.seisbench_set import LabelledSet
from phaseno_peft.pretraining.settings import PretrainingSettings, StemSettings
from phaseno_peft.pretraining.simulated import Simulator

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
