"""The PEFT configuration of CR-LoRA. Importing this imports PEFT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from peft import PeftConfig

from phaseno_peft.cr_lora.peft_type import CRLORA
from phaseno_peft.cr_lora.settings import CRLoraSettings


@dataclass
class CRLoraConfig(CRLoraSettings, PeftConfig):  # type: ignore[misc]  # peft ships no types
    """`CRLoraSettings` as PEFT's `get_peft_model`, `save_pretrained` and `from_pretrained` know configurations."""

    settings_from_file: ClassVar[bool] = False
    """True on an instance whose settings were read from a folder and whose tensors are yet to be."""

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> CRLoraConfig:
        """Read `adapter_config.json` as PEFT does, and remember that it comes from there."""
        config: CRLoraConfig = super().from_pretrained(*args, **kwargs)
        config.settings_from_file = True  # type: ignore[misc]  # a mark on this instance only, never saved
        return config

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = CRLORA
        self.bias = "none"
        if self.task_type is not None:
            raise ValueError(
                f"CR-LoRA: `task_type` should be None but is {self.task_type!r}: PhaseNO has no such task."
            )
