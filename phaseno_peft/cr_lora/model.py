"""CR-LoRA inside Hugging Face PEFT: the tuner, its guards, and its registration. Importing this imports PEFT.

Private hooks of PEFT that are used (tested with peft 0.21): `BaseTuner._create_and_replace`, `inject_adapter`,
`_remap_adapter_state_dict_for_load`, `_check_merge_allowed`, `_enable_peft_forward_hooks`, and the enumeration in
`peft_type.py`. PEFT itself loads permissively (strict=False on the whole model); the guards here make its own calls
strict.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils import register_peft_method
from peft.utils.peft_types import PeftType
from torch import Tensor, nn

from phaseno_peft.backbone import fingerprint
from phaseno_peft.cr_lora.attach import PEFT_ROOT, check_tensors, expected_tensors
from phaseno_peft.cr_lora.config import CRLoraConfig
from phaseno_peft.cr_lora.layer import CRLoraLayer
from phaseno_peft.cr_lora.settings import PEFT_TYPE, PREFIX, CRLoraSettings, layer_kind, trains
from phaseno_peft.errors import AdapterError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_RESERVED = {"base_model", "model", "base_layer", "weight", "bias", "__base__"}


class CRLoraTunerLayer(CRLoraLayer, BaseTunerLayer):  # type: ignore[misc]  # peft ships no types
    """`CRLoraLayer` with PEFT's bookkeeping of adapters: activation, trainability, device, deletion."""

    def __init__(self, base_layer: nn.Linear | nn.Conv1d, kind: Any, name: str, settings: CRLoraSettings) -> None:
        super().__init__(base_layer, kind)
        self.merged_adapters: list[str] = []
        self.update_layer(name, settings)

    def update_layer(self, name: str, settings: CRLoraSettings) -> None:
        """Add the parts of adapter `name`."""
        self.add_parts(name, settings)
        BaseTunerLayer._move_adapter_to_device_of_base_layer(self, name)
        BaseTunerLayer.set_adapter(
            self, self.active_adapters, inference_mode=getattr(settings, "inference_mode", False)
        )

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:  # noqa: ARG002
        """Refused: a gate depends on the input."""
        raise ValueError(_NO_MERGE)

    def unmerge(self) -> None:
        """Nothing is ever merged."""


_NO_MERGE = (
    "CR-LoRA cannot be merged into the backbone: its channel gates depend on the input. Keep the adapter live; "
    "it costs about as much as the frozen network."
)


class CRLoraModel(BaseTuner):  # type: ignore[misc]  # peft ships no types
    """PEFT's tuner for CR-LoRA on a `PhaseNO`."""

    prefix = PREFIX
    tuner_layer_cls = CRLoraTunerLayer
    target_module_mapping: dict[str, Any] = {}  # noqa: RUF012  # PEFT's own declaration

    def inject_adapter(self, model: nn.Module, adapter_name: str, *args: Any, **kwargs: Any) -> None:
        """Called by PEFT for every new adapter; refuses bad names and foreign backbones before anything changes."""
        settings = self.peft_config[adapter_name]
        check_adapter_name(adapter_name, model)
        wanted = (settings.contract or {}).get("backbone_fingerprint")
        if wanted is not None and wanted != (seen := fingerprint(model)):
            raise AdapterError(
                f"adapter {adapter_name!r} was trained on backbone {settings.contract['backbone_name']!r} "
                f"({wanted[:12]}), this one is {seen[:12]}. Load that backbone, or train the adapter again."
            )
        super().inject_adapter(model, adapter_name, *args, **kwargs)

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
        layer = CRLoraTunerLayer(target, kind, adapter_name, settings)  # type: ignore[arg-type]  # layer_kind checked
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        self._replace_module(parent, target_name, layer, target)

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls, model: nn.Module, config: CRLoraConfig, adapter_name: str, state_dict: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        base = model.get_submodule("base_model.model") if hasattr(model, "base_model") else model
        rooted = {key if key.startswith(PEFT_ROOT) else PEFT_ROOT + key: value for key, value in state_dict.items()}
        check_tensors(expected_tensors(base, config), rooted, f"adapter {adapter_name!r}")
        remapped: dict[str, Tensor] = super()._remap_adapter_state_dict_for_load(
            model, config, adapter_name, state_dict
        )
        return remapped

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
        if kwargs.get("adapter_names") is not None:
            raise ValueError(
                "CR-LoRA: `adapter_names` per row is not possible, rows are stations that exchange messages. "
                "Run one forward pass for each campaign's windows."
            )
        yield


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
