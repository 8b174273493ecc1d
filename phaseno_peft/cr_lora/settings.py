"""Settings of CR-LoRA and which layers of PhaseNO they reach. Plain torch: nothing here imports PEFT."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

from annotated_types import Ge, Gt, Le, Lt, MaxLen
from torch import nn

from phaseno_peft.backbone.stem import Layer, Output, RisingLayer
from phaseno_peft.contract import Contract
from phaseno_peft.errors import AdapterError
from phaseno_peft.schema import Rule, Word, check_fields

PEFT_TYPE = "CRLORA"
PREFIX = "crlora_"
FORMAT_VERSION = 1
TARGETS = r"(fno\d\.w\.conv|gno\d\.(edge|aggre)\.fc[12]|fc[12])"
"""PhaseNO's pointwise convolutions, GNO linears and decision head; the spectral weights and fc0 stay as they are."""
STEM = "stem."
"""Before the path of every layer of a stem."""
_STEM_LAYERS = re.compile(r"stem\.(.+\.)?(first|same|down|deepest|up|out)")

_PARTS = (r"fno\d\.w\.conv", r"gno\d\.(edge|aggre)\.fc[12]", "fc[12]")
_LATE_BLOCKS = re.compile(r"\(\?=[a-z]+\d?(\|[a-z]+\d?)*\)")
"""In front of a pattern: the blocks that it is confined to."""


def is_own_pattern(pattern: str) -> bool:
    """True for the regular expressions this library makes: `TARGETS` or a part of it, at most confined to some blocks.

    Anybody may have written an adapter, and a regular expression can be made to take for ever.
    """
    if len(pattern) > 500:
        return False
    confined = _LATE_BLOCKS.match(pattern)
    return (pattern[confined.end() :] if confined else pattern) in (TARGETS, *_PARTS)


Adaptable = nn.Linear | nn.Conv1d | Layer
LayerKind = Literal["pointwise", "linear", "head", "stem", "stem_rising", "stem_last", "stem_out"]
PEFT_KEYS: dict[str, tuple[type, ...]] = {
    "peft_type": (str,),
    "task_type": (type(None),),
    "auto_mapping": (dict, type(None)),
    "peft_version": (str, type(None)),
    "base_model_name_or_path": (str, type(None)),
    "revision": (str, type(None)),
    "inference_mode": (bool,),
}
"""What PEFT itself writes into adapter_config.json, and the kinds of value that it writes. PhaseNO has no task."""


_OwnPattern = Annotated[str, Rule(is_own_pattern, "be a pattern of this library's own, or a list of layers")]
Targets = _OwnPattern | Annotated[tuple[Word, ...], MaxLen(500)]


@dataclass
class CRLoraSettings:
    """Low-rank updates, channel recalibration and a trainable head (arXiv 2512.13197, section on CR-LoRA)."""

    r: Annotated[int, Ge(0), Le(1024)] = 4
    """Rank of the updates of pointwise convolutions and GNO linears; 0 leaves them out."""
    lora_alpha: Annotated[float, Gt(0), Le(1e6)] = 8.0
    """Updates are scaled by lora_alpha / r, or lora_alpha / sqrt(r) with `use_rslora`."""
    lora_dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Probability, in training, that an input channel of an update is left out (updates live in weight space)."""
    use_rslora: bool = False
    se_reduction: Annotated[int, Ge(0), Le(4096)] = 4
    """Squeeze-and-excitation bottleneck: C -> C / se_reduction -> C; 0 leaves the gates out."""
    se_init: Literal["identity", "paper"] = "identity"
    """identity: gate 2 * sigmoid(0) = 1 at the start. paper: plain sigmoid, which halves the branch at the start."""
    se_gates: Annotated[int, Ge(1), Le(1024)] = 1
    """Bottlenecks side by side in each gate: one, or as many as adapters were blended."""
    train_head: bool = True
    """Learn a dense difference to the decision head fc1, fc2."""
    target_modules: Targets = TARGETS
    """Paths of layers, or one of the patterns of `is_own_pattern`; the default reaches every layer of the paper."""
    stem: Literal["none", "lora", "last", "full"] = "none"
    """What is trained on the backbone's stem. none: nothing, the paper's count. lora: low-rank updates of its
    convolutions. last: a dense difference to its last convolution; full: to all of them. Each but none also learns a
    dense difference to its output layer and to the factors with which its logits are taken."""
    contract: dict[str, Any] | None = None
    """What the adapter promises about its data (`phaseno_peft.contract`)."""
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if self.format_version != FORMAT_VERSION:
            raise AdapterError(
                f"adapter_config.json: `format_version` is {self.format_version!r}, this phaseno-peft reads "
                f"{FORMAT_VERSION}. Install the version named on the adapter's card."
            )
        if isinstance(self.target_modules, list):
            self.target_modules = tuple(self.target_modules)  # PEFT shortens long lists to endings of paths
        try:
            check_fields(CRLoraSettings, vars(self))
        except ValueError as error:
            raise AdapterError(f"CR-LoRA: {error}.") from error
        if self.contract is not None:
            Contract.from_json(self.contract)
        if not (self.r or self.se_reduction or self.train_head or self.stem != "none"):
            raise AdapterError("CR-LoRA: nothing to train. Set `r`, `se_reduction` or `train_head`.")
        if self.stem == "lora" and not self.r:
            raise AdapterError("CR-LoRA: `stem` is 'lora', but `r` is 0. Set a rank, or `stem` to 'last'.")
        if not isinstance(self.target_modules, str):
            named = next((path for path in self.target_modules if path.startswith(STEM)), None)
            if named is not None:
                raise AdapterError(
                    f"CR-LoRA: `target_modules` names {named}. A stem is adapted as a whole: set `stem` to 'lora' or "
                    "'last' instead."
                )
        parent = getattr(super(), "__post_init__", None)
        if parent is not None:
            parent()

    @property
    def scaling(self) -> float:
        """Factor on every low-rank update."""
        return self.lora_alpha / (self.r**0.5 if self.use_rslora else self.r) if self.r else 0.0

    def to_json(self) -> dict[str, Any]:
        """Name -> value; without an adapted stem nothing is said of one, as before there were any."""
        own = {field.name: getattr(self, field.name) for field in dataclasses.fields(CRLoraSettings)}
        return own if self.stem != "none" else {name: value for name, value in own.items() if name != "stem"}

    @classmethod
    def from_adapter_config(cls, raw: dict[str, Any]) -> CRLoraSettings:
        """Settings of an `adapter_config.json` as PEFT writes it. Raises `AdapterError` for anything unexpected."""
        if raw.get("peft_type") != PEFT_TYPE:
            raise AdapterError(
                f"adapter_config.json: `peft_type` is {raw.get('peft_type')!r}, expected {PEFT_TYPE!r}. "
                "Load other PEFT methods with peft itself."
            )
        own = {field.name for field in dataclasses.fields(CRLoraSettings)}
        if unknown := sorted(set(raw) - own - set(PEFT_KEYS)):
            raise AdapterError(f"adapter_config.json: unknown key {unknown[0]!r}. A newer phaseno-peft wrote it?")
        if missing := sorted(own - set(raw) - {"stem"}):
            raise AdapterError(f"adapter_config.json: key {missing[0]!r} is missing. Fetch the adapter again.")
        for key, kinds in PEFT_KEYS.items():
            if key in raw and not isinstance(raw[key], kinds):
                kind = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
                raise AdapterError(f"adapter_config.json: `{key}` should be {kind} but is {raw[key]!r:.80}.")
        return CRLoraSettings(**{name: raw[name] for name in own & set(raw)})


def reaches(settings: CRLoraSettings, path: str) -> bool:
    """True if the layer at `path` is meant."""
    if path.startswith(STEM):
        return settings.stem != "none" and _STEM_LAYERS.fullmatch(path) is not None
    targets = settings.target_modules
    return bool(re.fullmatch(targets, path)) if isinstance(targets, str) else path in targets


def layer_kind(path: str, layer: nn.Module) -> LayerKind:
    """What is trained on the layer at `path`: pointwise = LoRA + gate, linear = LoRA, head = dense difference.

    Of a stem: stem, stem_rising (transposed) and stem_last = LoRA or a dense difference, stem_out = a dense difference,
    with one to the factors with which its logits are taken.
    """
    if isinstance(layer, Layer):
        return "stem_rising" if isinstance(layer, RisingLayer) else "stem_last" if layer.is_last else "stem"
    if isinstance(layer, Output):
        return "stem_out"
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
        if path and reaches(settings, path):
            kind = layer_kind(path, layer)
            if trains(kind, settings):
                yield path, cast(Adaptable, layer), kind


def trains(kind: LayerKind, settings: CRLoraSettings) -> bool:
    """True if `settings` put anything on a layer of this kind."""
    match kind:
        case "head":
            return settings.train_head
        case "stem" | "stem_rising":
            return settings.stem in ("lora", "full")
        case "stem_last" | "stem_out":
            return settings.stem != "none"
    return settings.r > 0 or (kind == "pointwise" and settings.se_reduction > 0)
