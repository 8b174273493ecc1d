"""From recordings, teachers and the simulator to a backbone."""

from phaseno_peft.pretraining.batches import BatchDataset, Sources
from phaseno_peft.pretraining.continuous import ContinuousSet
from phaseno_peft.pretraining.distort import DistortionChances
from phaseno_peft.pretraining.run import SCRATCH, Pretrained, pretrain
from phaseno_peft.pretraining.seisbench_set import SeisBenchSet
from phaseno_peft.pretraining.settings import PretrainingSettings, StemSettings
from phaseno_peft.pretraining.simulated import Simulator

__all__ = [
    "SCRATCH",
    "BatchDataset",
    "ContinuousSet",
    "DistortionChances",
    "Pretrained",
    "PretrainingSettings",
    "SeisBenchSet",
    "Simulator",
    "Sources",
    "StemSettings",
    "pretrain",
]
