"""CR-LoRA: low-rank updates, channel recalibration and a trainable head for a frozen PhaseNO.

`CRLoraConfig` and `CRLoraModel` are the PEFT method and import PEFT when first asked for; the rest is plain torch.
"""

from typing import TYPE_CHECKING, Any

from phaseno_peft.cr_lora.attach import attach, check_tensors, detach, expected_tensors, fold, unfold
from phaseno_peft.cr_lora.blend import blend
from phaseno_peft.cr_lora.layer import CRLoraLayer, ResidentAdapter, adapters_by_window, selected_adapter
from phaseno_peft.cr_lora.settings import CRLoraSettings

if TYPE_CHECKING:
    from phaseno_peft.cr_lora.config import CRLoraConfig
    from phaseno_peft.cr_lora.model import CRLoraModel

__all__ = [
    "CRLoraConfig",
    "CRLoraLayer",
    "CRLoraModel",
    "CRLoraSettings",
    "ResidentAdapter",
    "adapters_by_window",
    "attach",
    "blend",
    "check_tensors",
    "detach",
    "expected_tensors",
    "fold",
    "selected_adapter",
    "unfold",
]


def __getattr__(name: str) -> Any:
    if name in ("CRLoraConfig", "CRLoraModel"):
        from phaseno_peft.cr_lora import config, model  # importing the model registers the method with PEFT

        return getattr(config if name == "CRLoraConfig" else model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
