"""phaseno-peft: adapt a frozen network-wide seismic phase picker (PhaseNO) to a campaign with a small adapter.

>>> from phaseno_peft import load_adapter
>>> picker = load_adapter("samba-nz")            # doctest: +SKIP
>>> picks = picker.classify(stream, stations)    # doctest: +SKIP

Names are imported when they are first used, so that the command line starts at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from phaseno_peft.peft_import_hook import register_with_peft

if TYPE_CHECKING:
    from phaseno_peft.backbone import PhaseNO, StationGraph, load_backbone, push_backbone
    from phaseno_peft.campaign import Campaign
    from phaseno_peft.contract import Contract
    from phaseno_peft.cr_lora import CRLoraConfig, CRLoraSettings
    from phaseno_peft.errors import AdapterError, BackboneError, CampaignError, HubError, PhasenoPeftError
    from phaseno_peft.library import (
        adapter_info,
        list_adapters,
        list_versions,
        pull_adapter,
        push_adapter,
        remove_adapter,
        verify_adapters,
    )
    from phaseno_peft.picking import Pick, Picker, PickList, load_adapter
    from phaseno_peft.training import TrainingSettings, train_adapter

__version__ = "0.1.0"

_WHERE = {
    "AdapterError": "errors",
    "BackboneError": "errors",
    "CRLoraConfig": "cr_lora",
    "CRLoraSettings": "cr_lora",
    "Campaign": "campaign",
    "CampaignError": "errors",
    "Contract": "contract",
    "HubError": "errors",
    "PhaseNO": "backbone",
    "PhasenoPeftError": "errors",
    "Pick": "picking",
    "PickList": "picking",
    "Picker": "picking",
    "StationGraph": "backbone",
    "TrainingSettings": "training",
    "adapter_info": "library",
    "list_adapters": "library",
    "list_versions": "library",
    "load_adapter": "picking",
    "load_backbone": "backbone",
    "pull_adapter": "library",
    "push_adapter": "library",
    "push_backbone": "backbone",
    "remove_adapter": "library",
    "train_adapter": "training",
    "verify_adapters": "library",
    "what_push_reveals": "library",
}

__all__ = [
    "AdapterError",
    "BackboneError",
    "CRLoraConfig",
    "CRLoraSettings",
    "Campaign",
    "CampaignError",
    "Contract",
    "HubError",
    "PhaseNO",
    "PhasenoPeftError",
    "Pick",
    "PickList",
    "Picker",
    "StationGraph",
    "TrainingSettings",
    "adapter_info",
    "list_adapters",
    "list_versions",
    "load_adapter",
    "load_backbone",
    "pull_adapter",
    "push_adapter",
    "push_backbone",
    "remove_adapter",
    "train_adapter",
    "verify_adapters",
    "what_push_reveals",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f"phaseno_peft.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


register_with_peft()
