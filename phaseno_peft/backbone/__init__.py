"""The frozen network. Knows tensors and graphs, nothing of campaigns."""

from phaseno_peft.backbone.config import PhaseNOConfig, StemConfig
from phaseno_peft.backbone.convert import convert_checkpoint
from phaseno_peft.backbone.fetch import fetch_backbone
from phaseno_peft.backbone.graph import StationGraph
from phaseno_peft.backbone.network import PhaseNO, around_forward
from phaseno_peft.backbone.stem import Stem, from_phasenet
from phaseno_peft.backbone.weights import (
    EMBEDDED,
    BackboneCard,
    backbone_info,
    fingerprint,
    list_backbones,
    load_backbone,
    push_backbone,
    save_backbone,
)

__all__ = [
    "EMBEDDED",
    "BackboneCard",
    "PhaseNO",
    "PhaseNOConfig",
    "StationGraph",
    "Stem",
    "StemConfig",
    "around_forward",
    "backbone_info",
    "convert_checkpoint",
    "fetch_backbone",
    "fingerprint",
    "from_phasenet",
    "list_backbones",
    "load_backbone",
    "push_backbone",
    "save_backbone",
]
