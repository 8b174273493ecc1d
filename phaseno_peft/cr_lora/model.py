"""CR-LoRA inside Hugging Face PEFT: the tuner, its guards, and its registration. Importing this imports PEFT.

PEFT itself loads permissively (strict=False on the whole model); the guards here make its own calls strict.
`PRIVATE_HOOKS` lists what of PEFT is used beyond its documented interface.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils import register_peft_method
from peft.utils.peft_types import PeftType
from torch import Tensor, nn

from phaseno_peft.backbone import fingerprint
from phaseno_peft.backbone.stem import Layer
from phaseno_peft.contract import tensors_sha256
from phaseno_peft.cr_lora.attach import (
    check_window,
    expected_tensors,
    fold,
    make_resident,
    resident_tensors,
    unfold,
    write_tensors,
)
from phaseno_peft.cr_lora.blend import blend
from phaseno_peft.cr_lora.config import CRLoraConfig as CRLoraConfig
from phaseno_peft.cr_lora.layer import (
    PEFT_ROOT,
    CRLoraLayer,
    Folded,
    LayerSize,
    Part,
    Traits,
    adapters_by_window,
    expected_shapes,
)
from phaseno_peft.cr_lora.resident import not_resident, residents_of
from phaseno_peft.cr_lora.settings import (
    PEFT_TYPE,
    PREFIX,
    Adaptable,
    CRLoraSettings,
    LayerKind,
    layer_kind,
    reaches,
    trains,
)
from phaseno_peft.errors import AdapterError

TESTED_PEFT = "0.21"
PRIVATE_HOOKS = {
    "peft.tuners.tuners_utils.BaseTuner": (
        "inject_adapter",  # every new adapter passes here: names and backbone are checked
        "_create_and_replace",  # PEFT's own extension point
        "_check_target_module_exists",  # names are whole paths; no expressions but our own
        "_replace_module",
        "_remap_adapter_state_dict_for_load",  # every loaded file passes here before anything is written
        "_check_merge_allowed",
    ),
    "peft.peft_model.PeftModel": ("_enable_peft_forward_hooks",),  # asks the tuner's of that name: mixed batches
    "peft.tuners.tuners_utils.BaseTunerLayer": ("_move_adapter_to_device_of_base_layer", "_active_adapter"),
    "peft.utils.peft_types.PeftType": ("_member_map_", "_member_names_", "_value2member_map_"),
}
"""What a new PEFT may change; a test looks for each."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_FROZEN = "__base__"
"""PEFT's name in mixed batches for rows without an adapter."""
_RESERVED = {"base_model", "model", "base_layer", "weight", "bias", _FROZEN}


class _Part(nn.Linear):
    """A linear layer in float32 that draws no random numbers when it is made."""

    def __init__(self, channels_in: int, channels_out: int, *, bias: bool, device: torch.device) -> None:
        super().__init__(channels_in, channels_out, bias, device, torch.float32)

    def reset_parameters(self) -> None:
        """Nothing: `CRLoraTunerLayer.reset_parts` knows the start values."""


class CRLoraTunerLayer(CRLoraLayer, BaseTunerLayer):  # type: ignore[misc]  # peft ships no types
    """`CRLoraLayer` whose adapters are parameters, with PEFT's bookkeeping: activation, device, deletion.

    Every tensor sits at `<layer>.crlora_<part>.<adapter>.weight` or `.bias`.
    """

    adapter_layer_names: tuple[str, ...] = (
        "crlora_A",
        "crlora_B",
        "crlora_down",
        "crlora_up",
        "crlora_delta",
        "crlora_factors",
    )
    other_param_names: tuple[str, ...] = ("traits_of", "folded")

    base_layer: Adaptable
    _disable_adapters: bool = False
    _active_adapter: str | list[str] = "default"

    def __init__(self, base_layer: Adaptable, kind: LayerKind, path: str, name: str, settings: CRLoraSettings) -> None:
        super().__init__()
        self.base_layer, self.kind, self.path = base_layer, kind, path
        self.folded: dict[str, Folded] = {}
        for part in self.adapter_layer_names:
            setattr(self, part, nn.ModuleDict())
        self.traits_of: dict[str, Traits] = {}
        self.merged_adapters: list[str] = []
        self.update_layer(name, settings)

    def update_layer(self, name: str, settings: CRLoraSettings) -> None:
        """Add adapter `name`, starting as one that changes nothing (unless se_init="paper")."""
        shapes = expected_shapes(self.kind, LayerSize.of(self.base_layer), settings)
        for key, shape in shapes.items():
            part, leaf = key.split(".")
            if leaf == "weight":
                device = self.base_layer.weight.device
                getattr(self, part)[name] = _Part(shape[1], shape[0], bias=f"{part}.bias" in shapes, device=device)
        self.traits_of[name] = Traits.of(settings)
        self.reset_parts(name)
        BaseTunerLayer._move_adapter_to_device_of_base_layer(self, name)
        BaseTunerLayer.set_adapter(
            self, self.active_adapters, inference_mode=getattr(settings, "inference_mode", False)
        )

    def reset_parts(self, name: str) -> None:
        """Start values: A and D (and the paper's U) as torch's Linear; B, U and all differences zero."""
        random = {"crlora_A", "crlora_down"} | ({"crlora_up"} if self.traits_of[name].paper_gate else set())
        with torch.no_grad():
            for part in self.adapter_layer_names:
                for holder in [getattr(self, part)[name]] if name in getattr(self, part) else []:
                    if part in random:
                        nn.Linear.reset_parameters(holder)
                    else:
                        for parameter in holder.parameters():
                            parameter.zero_()

    @property
    def frozen(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the backbone."""
        return self.base_layer.weight, self.base_layer.bias

    def forward(self, x: Tensor, learns_statistics: bool = False) -> Tensor:
        """The layer on its own, as the frozen one takes its input."""
        if isinstance(self.base_layer, Layer):
            return self.base_layer.compute(x, self.weight, cast(Tensor, self.bias), learns_statistics)
        return super().forward(x)

    def part_of(self, name: str) -> Part | None:
        """Parameters of adapter `name` on this layer; None if it is not resident."""
        if name not in self.traits_of:
            return None
        holders = {part: getattr(self, part)[name] for part in self.adapter_layer_names if name in getattr(self, part)}
        tensors = {f"{part}.{leaf}": p for part, holder in holders.items() for leaf, p in holder.named_parameters()}
        return Part(self.traits_of[name], tensors, self.folded.get(name))

    def part_by_name(self, name: str) -> Part | None:
        """`part_of`; raises `AdapterError` if `name` is not resident."""
        if name not in self.traits_of:
            raise AdapterError(not_resident(name, self.traits_of))
        return self.part_of(name)

    def part_by_default(self) -> Part | None:
        """Of PEFT's active adapter."""
        if self._disable_adapters or not self._active_adapter:
            return None
        return self.part_of(self._active_adapter if isinstance(self._active_adapter, str) else self._active_adapter[0])

    def keep_folded(self, name: str, folded: Folded | None) -> None:
        """Serve adapter `name` with these weights from now on; None forgets them."""
        self.folded.pop(name, None)
        if folded is not None:
            self.folded[name] = folded

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:  # noqa: ARG002
        """Refused: a gate depends on the input."""
        raise ValueError(_NO_MERGE)

    def unmerge(self) -> None:
        """Nothing is ever merged."""


_NO_MERGE = (
    "CR-LoRA cannot be merged into the backbone: its channel gates depend on the input. Use fold_adapter, which adds "
    "up the low-rank updates and the head and keeps the gates live."
)


class CRLoraModel(BaseTuner):  # type: ignore[misc]  # peft ships no types
    """PEFT's tuner for CR-LoRA on a `PhaseNO`."""

    prefix = PREFIX
    tuner_layer_cls = CRLoraTunerLayer
    target_module_mapping: dict[str, Any] = {}  # noqa: RUF012  # PEFT's own declaration

    def __init__(self, model: nn.Module, peft_config: Any, adapter_name: str, *args: Any, **kwargs: Any) -> None:
        # PEFT leaves `peft_config` on a network that it wrapped, and adds to it before anything is checked.
        held = getattr(model, "peft_config", None)
        before = dict(held) if isinstance(held, dict) else {}
        new = peft_config[adapter_name] if isinstance(peft_config, dict) else peft_config
        if adapter_name in before and getattr(new, "settings_from_file", False):
            raise AdapterError(
                f"this network is wrapped by PEFT already and has an adapter {adapter_name!r}, which the file would "
                "replace. Load it under another name (adapter_name), or take a fresh network from load_backbone."
            )
        try:
            super().__init__(model, peft_config, adapter_name, *args, **kwargs)
        except Exception:
            if isinstance(held, dict):
                held.clear()
                held.update(before)
            raise

    def inject_adapter(self, model: nn.Module, adapter_name: str, *args: Any, **kwargs: Any) -> None:
        """Called by PEFT for every new adapter; refuses bad names and foreign backbones before anything changes."""
        settings = self.peft_config[adapter_name]
        check_adapter_name(adapter_name, model)
        expected_tensors(model, settings)  # refuses settings that this network cannot have
        if residents_of(model, peft=True) is not None:
            raise AdapterError(
                "this network is a Picker's, whose adapters are not PEFT's. Take one from load_backbone."
            )
        wanted = (settings.contract or {}).get("backbone_fingerprint")
        if wanted is not None and wanted != (seen := fingerprint(model)):
            raise AdapterError(
                f"adapter {adapter_name!r} was trained on backbone {settings.contract['backbone_name']!r} "
                f"({wanted[:12]}), this one is {seen[:12]}. Load that backbone, or train the adapter again."
            )
        check_window(model, settings.contract, adapter_name)
        super().inject_adapter(model, adapter_name, *args, **kwargs)
        for layer in model.modules():
            if isinstance(layer, CRLoraTunerLayer):  # every layer knows every adapter, also those that do not reach it
                for name, own in self.peft_config.items():
                    layer.traits_of.setdefault(name, Traits.of(own))

    @staticmethod
    def _check_target_module_exists(settings: CRLoraConfig, key: str) -> bool:
        return reaches(settings, key)

    def _create_and_replace(
        self,
        settings: CRLoraConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
    ) -> None:
        if isinstance(target, CRLoraTunerLayer):
            if trains(target.kind, settings):
                target.update_layer(adapter_name, settings)
            return
        kind = layer_kind(current_key, target)
        if not trains(kind, settings):
            return
        layer = CRLoraTunerLayer(target, kind, current_key, adapter_name, settings)  # type: ignore[arg-type]  # layer_kind checked
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        self._replace_module(parent, target_name, layer, target)

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls, model: nn.Module, config: CRLoraConfig, adapter_name: str, state_dict: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        base = model.get_submodule("base_model.model") if hasattr(model, "base_model") else model
        rooted = {key if key.startswith(PEFT_ROOT) else PEFT_ROOT + key: value for key, value in state_dict.items()}
        fresh = config.settings_from_file
        try:
            if not fresh:  # PEFT would keep the settings it has and take the file's tensors: another adapter
                raise AdapterError(
                    f"adapter {adapter_name!r} is there already, with settings of its own. Load the file under another "
                    "name, or delete_adapter first."
                )
            make_resident(base, adapter_name, config, rooted, f"adapter {adapter_name!r}")
            promised = (config.contract or {}).get("tensors_sha256")
            if promised and promised != (seen := tensors_sha256(rooted)):
                raise AdapterError(
                    f"adapter {adapter_name!r}: the tensors' SHA-256 is {seen[:12]}, its contract says "
                    f"{promised[:12]}. The file was altered or belongs to another adapter; fetch it again."
                )
        except AdapterError:
            if fresh:
                _forget(model, base, adapter_name)
            raise
        config.settings_from_file = False  # type: ignore[misc]  # a mark on this instance only
        remapped: dict[str, Tensor] = super()._remap_adapter_state_dict_for_load(
            model, config, adapter_name, state_dict
        )
        return remapped

    def fold_adapter(self, adapter_name: str) -> None:
        """Partial merge: low-rank updates and head are added up once, gates stay live (`cr_lora.fold`)."""
        fold(self.model, adapter_name)

    def unfold_adapter(self, adapter_name: str) -> None:
        """Undo `fold_adapter`, exactly."""
        unfold(self.model, adapter_name)

    def add_weighted_adapter(
        self,
        adapters: list[str],
        weights: list[float],
        adapter_name: str,
        combination_type: str = "linear",
    ) -> None:
        """Add the weighted sum of resident adapters as a new one; see `blend` for what is exact and what is not."""
        if combination_type != "linear":
            raise ValueError(f"CR-LoRA: `combination_type` should be 'linear' but is {combination_type!r}.")
        if adapter_name in self.peft_config:
            raise AdapterError(f"adapter {adapter_name!r} is there already. Choose another name.")
        if unknown := sorted(set(adapters) - set(self.peft_config)):
            raise AdapterError(f"adapter {unknown[0]!r} is not resident (resident: {', '.join(self.peft_config)}).")
        settings, tensors = blend(
            [(self.peft_config[name], resident_tensors(self.model, name)) for name in adapters], weights
        )
        self.peft_config[adapter_name] = settings
        try:
            self.inject_adapter(self.model, adapter_name)
        except Exception:
            del self.peft_config[adapter_name]
            raise
        write_tensors(self.model, adapter_name, tensors)
        self.set_requires_grad(adapter_name, requires_grad=False)

    def set_adapter(self, adapter_name: str | list[str], inference_mode: bool = False) -> None:
        """Activate one adapter; gates of two cannot be combined."""
        names = [adapter_name] if isinstance(adapter_name, str) else adapter_name
        if len(names) > 1:
            raise ValueError(f"CR-LoRA runs one adapter at a time, not {names}: their gates do not add up.")
        super().set_adapter(adapter_name, inference_mode=inference_mode)

    def _check_merge_allowed(self) -> None:
        raise ValueError(_NO_MERGE)

    @contextmanager
    def _enable_peft_forward_hooks(self, *_: Any, **kwargs: Any) -> Iterator[None]:
        names: list[str] | None = kwargs.get("adapter_names")
        if names is None:
            yield
            return
        if unknown := sorted(set(names) - set(self.peft_config) - {_FROZEN}):
            raise ValueError(
                f"CR-LoRA: `adapter_names` has {unknown[0]!r}, which is not resident "
                f"(resident: {', '.join(self.peft_config)}; {_FROZEN} for the frozen backbone)."
            )
        with adapters_by_window([None if name == _FROZEN else name for name in names]):
            yield


def _forget(model: nn.Module, base: nn.Module, adapter_name: str) -> None:
    """Take back an adapter that PEFT added before its file turned out to be bad."""
    tuner = cast(CRLoraModel, getattr(model, "base_model", model))
    active = tuner.active_adapter
    tuner.peft_config.pop(adapter_name, None)
    for path, layer in list(base.named_modules()):
        if isinstance(layer, CRLoraTunerLayer):
            BaseTunerLayer.delete_adapter(layer, adapter_name)
            if not layer.traits_of:
                parent_path, _, leaf = path.rpartition(".")
                setattr(base.get_submodule(parent_path), leaf, layer.base_layer)
    if tuner.peft_config and active != adapter_name:
        tuner.set_adapter(active)


def check_adapter_name(name: str, model: nn.Module) -> None:
    """Raise `AdapterError` for names that PEFT would accept and then corrupt files with (a module's name, a path)."""
    parts = {part for path, _ in model.named_modules() for part in path.split(".")}
    reserved = {word.lower() for word in _RESERVED | parts | set(dir(nn.ModuleDict))}
    if not _NAME.fullmatch(name) or name.lower() in reserved or name in PREFIX:
        raise AdapterError(
            f"adapter name {name!r} cannot be used. Use letters, digits, '-' and '_', at most 63, and no name of a "
            "module of the network."
        )


def register() -> None:
    """Make CRLORA known to PEFT; harmless to repeat."""
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

    if PeftType[PEFT_TYPE] not in PEFT_TYPE_TO_TUNER_MAPPING:
        register_peft_method(name=PEFT_TYPE.lower(), config_cls=CRLoraConfig, model_cls=CRLoraModel)


register()
