"""The PEFT configuration of CR-LoRA. Importing this imports PEFT."""

from __future__ import annotations

from dataclasses import dataclass

from peft import PeftConfig

from phaseno_peft.cr_lora.peft_type import CRLORA
from phaseno_peft.cr_lora.settings import CRLoraSettings


@dataclass
class CRLoraConfig(CRLoraSettings, PeftConfig):  # type: ignore[misc]  # peft ships no types
    """`CRLoraSettings` as PEFT's `get_peft_model`, `save_pretrained` and `from_pretrained` know configurations."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = CRLORA
        self.bias = "none"
        if self.task_type is not None:
            raise ValueError(
                f"CR-LoRA: `task_type` should be None but is {self.task_type!r}: PhaseNO has no such task."
            )
