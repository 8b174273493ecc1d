"""What is wrong with a delivery of waveforms, stations and picks, said before training; one file a kind of evidence."""

from phaseno_peft.checking.check import check
from phaseno_peft.checking.result import CheckResult

__all__ = ["CheckResult", "check"]
