"""phaseno-peft: adapt a frozen network-wide seismic phase picker (PhaseNO) to a campaign with a small adapter.

>>> from phaseno_peft import load_adapter
>>> picker = load_adapter("samba-nz")            # doctest: +SKIP
>>> picks = picker.classify(stream, stations)    # doctest: +SKIP

Names are imported when they are first used, so that the command line starts at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phaseno_peft.backbone import PhaseNO, StationGraph, load_backbone
    from phaseno_peft.campaign import Campaign
    from phaseno_peft.contract import Contract
    from phaseno_peft.cr_lora import CRLoraConfig, CRLoraSettings
    from phaseno_peft.errors import AdapterError, BackboneError, CampaignError, PhasenoPeftError
    from phaseno_peft.library import list_adapters
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
    "PhaseNO": "backbone",
    "PhasenoPeftError": "errors",
    "Pick": "picking",
    "PickList": "picking",
    "Picker": "picking",
    "StationGraph": "backbone",
    "TrainingSettings": "training",
    "list_adapters": "library",
    "load_adapter": "picking",
    "load_backbone": "backbone",
    "train_adapter": "training",
}

__all__ = [
    "AdapterError",
    "BackboneError",
    "CRLoraConfig",
    "CRLoraSettings",
    "Campaign",
    "CampaignError",
    "Contract",
    "PhaseNO",
    "PhasenoPeftError",
    "Pick",
    "PickList",
    "Picker",
    "StationGraph",
    "TrainingSettings",
    "list_adapters",
    "load_adapter",
    "load_backbone",
    "train_adapter",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f"phaseno_peft.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
