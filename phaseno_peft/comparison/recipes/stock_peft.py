"""Hugging Face PEFT's own methods on PhaseNO, to compare with CR-LoRA.

PhaseNO reads `weight` and `bias` of its layers and never calls them, so a stock PEFT layer in their place would be
silently ignored (its `weight` is the frozen one). `EffectiveLayer` asks the stock layer itself: fed with the unit
vectors, its own forward pass returns the columns of the weight that it computes with, for every method that is linear
in its input, with gradients. This costs one small matrix product a layer and forward pass.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from phaseno_peft.backbone import PhaseNO
from phaseno_peft.errors import AdapterError

POINTWISE_AND_LINEAR = r"fno\d\.w\.conv|gno\d\.(edge|aggre)\.fc[12]"
"""The layers that CR-LoRA's low-rank updates reach."""
LINEAR = r"gno\d\.(edge|aggre)\.fc[12]"
"""What is left of them for methods that know no Conv1d."""


@dataclass(frozen=True)
class StockMethod:
    """A configuration of PEFT that fits, and the layers it can take."""

    config: str
    values: dict[str, Any] = field(default_factory=dict)
    layers: str = LINEAR


METHODS = {
    "LoRA": StockMethod("LoraConfig", {"r": 4, "lora_alpha": 8}, POINTWISE_AND_LINEAR),
    "rsLoRA": StockMethod("LoraConfig", {"r": 4, "lora_alpha": 8, "use_rslora": True}, POINTWISE_AND_LINEAR),
    "DoRA": StockMethod("LoraConfig", {"r": 4, "lora_alpha": 8, "use_dora": True}, POINTWISE_AND_LINEAR),
    "LoHa": StockMethod("LoHaConfig", {"r": 4, "alpha": 8}, POINTWISE_AND_LINEAR),
    "LoKr": StockMethod("LoKrConfig", {"r": 4, "alpha": 8}, POINTWISE_AND_LINEAR),
    "HiRA": StockMethod("HiraConfig", {"r": 4}, POINTWISE_AND_LINEAR),
    "IA3": StockMethod("IA3Config", {"feedforward_modules": []}),
    "VeRA": StockMethod("VeraConfig"),
    "OFT": StockMethod("OFTConfig", {"oft_block_size": 4}),
    "HRA": StockMethod("HRAConfig", {"r": 4}),
    "DeLoRA": StockMethod("DeloraConfig", {"r": 4}),
    "MiSS": StockMethod("MissConfig", {"r": 4}),
    "GraLoRA": StockMethod("GraloraConfig", {"r": 4}),
}
REFUSED = {
    "AdaLoRA": "it needs a hook after every step, which this training does not call",
    "BOFT": "it compiles an extension for CUDA at its first use",
    "FourierFT": "it does not start at the frozen network",
    "VBLoRA": "it does not start at the frozen network",
    "WaveFT": "its updates are unstable at this library's learning rate",
    "RandLoRA": "its file of fixed bases takes 50 MB",
    "PiSSA": "it rewrites the frozen weights",
    "OLoRA": "it rewrites the frozen weights",
    "OSF": "it leaves Conv1d untrained without saying so",
    "LNTuning": "on these layers it is plain fine-tuning; use the recipe unfreeze:<k>",
}


class EffectiveLayer(nn.Module):
    """Stands in for a layer whose `weight` and `bias` are read: gives those that the stock PEFT layer computes with."""

    def __init__(self, tuned: nn.Module) -> None:
        super().__init__()
        self.tuned = tuned

    @property
    def base(self) -> nn.Linear | nn.Conv1d:
        """The frozen layer."""
        layer: nn.Linear | nn.Conv1d = self.tuned.get_base_layer()  # type: ignore[operator]  # peft's method
        return layer

    @property
    def weight(self) -> Tensor:
        """[out, in], or [out, in, 1] of a convolution."""
        frozen = self.base.weight
        if self.tuned.disable_adapters:
            return frozen
        columns = torch.eye(frozen.shape[1], dtype=frozen.dtype, device=frozen.device)
        return (self._apply_tuned(columns) - self._apply_tuned(torch.zeros_like(columns[:1]))).t().view_as(frozen)

    @property
    def bias(self) -> Tensor | None:
        """[out]."""
        frozen = self.base.bias
        if frozen is None or self.tuned.disable_adapters:
            return frozen
        return self._apply_tuned(torch.zeros(1, self.base.weight.shape[1], device=frozen.device))[0]

    def _apply_tuned(self, x: Tensor) -> Tensor:
        """[vector, in] -> [vector, out] by the stock layer's own forward pass."""
        if isinstance(self.base, nn.Conv1d):
            return torch.as_tensor(self.tuned(x.t()[None]))[0].t()
        return torch.as_tensor(self.tuned(x))


def method_name(method: str) -> str:
    """PEFT's spelling of a method that fits. Raises `AdapterError` saying why another one is not offered."""
    names = {name.lower(): name for name in (*METHODS, *REFUSED)}
    name = names.get(method.lower(), method)
    if name in METHODS:
        return name
    why = f"is not offered: {REFUSED[name]}" if name in REFUSED else "is not known to fit this network"
    raise AdapterError(f"recipe 'peft:{method}' {why}. Those that run are {', '.join(METHODS)}.")


def adapt_with_stock_peft(backbone: PhaseNO, method: str) -> nn.Module:
    """The backbone in PEFT's `PeftModel` with a stock method. Raises `AdapterError` for one that does not fit."""
    import peft
    from peft.tuners.tuners_utils import BaseTunerLayer

    chosen = METHODS[method_name(method)]
    config = getattr(peft, chosen.config)(target_modules=chosen.layers, **chosen.values)
    adapted: nn.Module = peft.get_peft_model(backbone, config)
    for path, layer in list(backbone.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            parent, _, leaf = path.rpartition(".")
            setattr(backbone.get_submodule(parent), leaf, EffectiveLayer(layer))
    return adapted
