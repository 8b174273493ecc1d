"""CR-LoRA: low-rank updates, channel recalibration and a trainable head for a frozen PhaseNO.

`CRLoraConfig` and `CRLoraModel` are the PEFT method and import PEFT when first asked for; the rest is plain torch.
"""

from typing import TYPE_CHECKING

from phaseno_peft.cr_lora.attach import attach, check_stem, check_tensors, detach, expected_tensors, fold, unfold
from phaseno_peft.cr_lora.blend import blend
from phaseno_peft.cr_lora.layer import CRLoraLayer, ResidentAdapter, adapters_by_window, selected_adapter
from phaseno_peft.cr_lora.settings import CRLoraSettings
from phaseno_peft.lazy_names import lazy_names

if TYPE_CHECKING:
    from phaseno_peft.cr_lora.model import CRLoraConfig, CRLoraModel  # importing it registers the method with PEFT
else:
    __getattr__, __dir__, _ = lazy_names(__name__)

__all__ = [
    "CRLoraConfig",
    "CRLoraLayer",
    "CRLoraModel",
    "CRLoraSettings",
    "ResidentAdapter",
    "adapters_by_window",
    "attach",
    "blend",
    "check_stem",
    "check_tensors",
    "detach",
    "expected_tensors",
    "fold",
    "selected_adapter",
    "unfold",
]
