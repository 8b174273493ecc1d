"""Settings of CR-LoRA and which layers of PhaseNO they reach. Plain torch: nothing here imports PEFT."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

from torch import nn

from phaseno_peft.errors import AdapterError

PEFT_TYPE = "CRLORA"
PREFIX = "crlora_"
FORMAT_VERSION = 1
TARGETS = r"(fno\d\.w\.conv|gno\d\.(edge|aggre)\.fc[12]|fc[12])"
"""PhaseNO's pointwise convolutions, GNO linears and decision head; the spectral weights and fc0 stay as they are."""

Adaptable = nn.Linear | nn.Conv1d
LayerKind = Literal["pointwise", "linear", "head"]
# What PEFT itself writes into adapter_config.json.
_PEFT_KEYS = {
    "peft_type",
    "task_type",
    "auto_mapping",
    "peft_version",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
}


@dataclass
class CRLoraSettings:
    """Low-rank updates, channel recalibration and a trainable head (arXiv 2512.13197, section on CR-LoRA)."""

    r: int = 4
    """Rank of the updates of pointwise convolutions and GNO linears; 0 leaves them out."""
    lora_alpha: float = 8.0
    """Updates are scaled by lora_alpha / r, or lora_alpha / sqrt(r) with `use_rslora`."""
    lora_dropout: float = 0.0
    """Probability, in training, that an input channel of an update is left out (updates live in weight space)."""
    use_rslora: bool = False
    se_reduction: int = 4
    """Squeeze-and-excitation bottleneck: C -> C / se_reduction -> C; 0 leaves the gates out."""
    se_init: Literal["identity", "paper"] = "identity"
    """identity: gate 2 * sigmoid(0) = 1 at the start. paper: plain sigmoid, which halves the branch at the start."""
    se_gates: int = 1
    """Bottlenecks side by side in each gate: one, or as many as adapters were blended."""
    train_head: bool = True
    """Learn a dense difference to the decision head fc1, fc2."""
    target_modules: str = TARGETS
    """Regular expression over module paths; the default reaches every layer of the paper."""
    contract: dict[str, Any] | None = None
    """What the adapter promises about its data (`phaseno_peft.contract`)."""
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if self.format_version != FORMAT_VERSION:
            raise AdapterError(
                f"adapter_config.json: `format_version` is {self.format_version!r}, this phaseno-peft reads "
                f"{FORMAT_VERSION}. Install the version named on the adapter's card."
            )
        for name in ("r", "se_reduction"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise AdapterError(f"CR-LoRA: `{name}` should be an integer >= 0 but is {value!r}.")
        if not isinstance(self.se_gates, int) or self.se_gates < 1:
            raise AdapterError(f"CR-LoRA: `se_gates` should be an integer >= 1 but is {self.se_gates!r}.")
        if not self.lora_alpha > 0:
            raise AdapterError(f"CR-LoRA: `lora_alpha` should be positive but is {self.lora_alpha!r}.")
        if not 0 <= self.lora_dropout < 1:
            raise AdapterError(f"CR-LoRA: `lora_dropout` should be in [0, 1) but is {self.lora_dropout!r}.")
        if self.se_init not in ("identity", "paper"):
            raise AdapterError(f"CR-LoRA: `se_init` should be 'identity' or 'paper' but is {self.se_init!r}.")
        if not (self.r or self.se_reduction or self.train_head):
            raise AdapterError("CR-LoRA: nothing to train. Set `r`, `se_reduction` or `train_head`.")
        try:
            re.compile(self.target_modules)
        except (re.error, TypeError) as error:
            raise AdapterError(
                f"CR-LoRA: `target_modules` should be a regular expression but is {self.target_modules!r} ({error})."
            ) from error
        parent = getattr(super(), "__post_init__", None)
        if parent is not None:
            parent()

    @property
    def scaling(self) -> float:
        """Factor on every low-rank update."""
        return self.lora_alpha / (self.r**0.5 if self.use_rslora else self.r) if self.r else 0.0

    @classmethod
    def from_adapter_config(cls, raw: dict[str, Any]) -> CRLoraSettings:
        """Settings of an `adapter_config.json` as PEFT writes it. Raises `AdapterError` for anything unexpected."""
        if raw.get("peft_type") != PEFT_TYPE:
            raise AdapterError(
                f"adapter_config.json: `peft_type` is {raw.get('peft_type')!r}, expected {PEFT_TYPE!r}. "
                "Load other PEFT methods with peft itself."
            )
        own = {field.name for field in dataclasses.fields(CRLoraSettings)}
        if unknown := sorted(set(raw) - own - _PEFT_KEYS):
            raise AdapterError(f"adapter_config.json: unknown key {unknown[0]!r}. A newer phaseno-peft wrote it?")
        if missing := sorted(own - set(raw)):
            raise AdapterError(f"adapter_config.json: key {missing[0]!r} is missing. Fetch the adapter again.")
        return CRLoraSettings(**{name: raw[name] for name in own})


def layer_kind(path: str, layer: nn.Module) -> LayerKind:
    """What is trained on the layer at `path`: pointwise = LoRA + gate, linear = LoRA, head = dense difference."""
    if isinstance(layer, nn.Conv1d) and layer.kernel_size == (1,):
        return "pointwise"
    if isinstance(layer, nn.Linear):
        return "head" if "." not in path else "linear"
    raise AdapterError(
        f"CR-LoRA: `target_modules` reaches {path}, a {type(layer).__name__}. It adapts 1x1 Conv1d and Linear layers."
    )


def target_layers(model: nn.Module, settings: CRLoraSettings) -> Iterator[tuple[str, Adaptable, LayerKind]]:
    """(path, layer, kind) of every layer of an unwrapped model that `settings` trains something on."""
    for path, layer in model.named_modules():
        if path and re.fullmatch(settings.target_modules, path):
            kind = layer_kind(path, layer)
            if trains(kind, settings):
                yield path, cast(Adaptable, layer), kind


def trains(kind: LayerKind, settings: CRLoraSettings) -> bool:
    """True if `settings` put anything on a layer of this kind."""
    if kind == "head":
        return settings.train_head
    return settings.r > 0 or (kind == "pointwise" and settings.se_reduction > 0)
