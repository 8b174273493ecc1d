"""phaseno-peft: adapt a frozen network-wide seismic phase picker (PhaseNO) to a campaign with a small adapter.

>>> from phaseno_peft import load_adapter
>>> picker = load_adapter("samba-nz")            # doctest: +SKIP
>>> picks = picker.classify(stream, stations)    # doctest: +SKIP

What the command line does, Python does by the same words. Names are imported when they are first used, so that the
command line starts at once.
"""

from typing import TYPE_CHECKING

from phaseno_peft.lazy_names import lazy_names
from phaseno_peft.peft_import_hook import register_with_peft

if TYPE_CHECKING:
    from phaseno_peft.archive import pick_archive as pick_archive
    from phaseno_peft.archive import read_picks as read_picks
    from phaseno_peft.backbone import PhaseNO as PhaseNO
    from phaseno_peft.backbone import StationGraph as StationGraph
    from phaseno_peft.backbone import backbone_info as backbone_info
    from phaseno_peft.backbone import convert_checkpoint as convert_checkpoint
    from phaseno_peft.backbone import fetch_backbone as fetch_backbone
    from phaseno_peft.backbone import list_backbones as list_backbones
    from phaseno_peft.backbone import load_backbone as load_backbone
    from phaseno_peft.backbone import push_backbone as push_backbone
    from phaseno_peft.backbone import save_backbone as save_backbone
    from phaseno_peft.campaign import Campaign as Campaign
    from phaseno_peft.campaign import export_dataset as export_dataset
    from phaseno_peft.campaign import read_catalogue as read_catalogue
    from phaseno_peft.campaign import read_stations as read_stations
    from phaseno_peft.campaign import read_waveforms as read_waveforms
    from phaseno_peft.campaign import write_channel_map as write_channel_map
    from phaseno_peft.checking import check as check
    from phaseno_peft.comparison import compare as compare
    from phaseno_peft.contract import Contract as Contract
    from phaseno_peft.cr_lora import CRLoraConfig as CRLoraConfig
    from phaseno_peft.cr_lora import CRLoraSettings as CRLoraSettings
    from phaseno_peft.demo import run_demo as run_demo
    from phaseno_peft.errors import AdapterError as AdapterError
    from phaseno_peft.errors import BackboneError as BackboneError
    from phaseno_peft.errors import CampaignError as CampaignError
    from phaseno_peft.errors import HubError as HubError
    from phaseno_peft.errors import PhasenoPeftError as PhasenoPeftError
    from phaseno_peft.evaluation import suggest_adapters as suggest_adapters
    from phaseno_peft.events import AssociationRule as AssociationRule
    from phaseno_peft.events import associate as associate
    from phaseno_peft.judging import evaluate as evaluate
    from phaseno_peft.judging import score_picks as score_picks
    from phaseno_peft.labelling import load_teacher as load_teacher
    from phaseno_peft.labelling import pseudo_label as pseudo_label
    from phaseno_peft.labelling import suggest_labels as suggest_labels
    from phaseno_peft.labelling import write_suggestions as write_suggestions
    from phaseno_peft.library import adapter_folder as adapter_folder
    from phaseno_peft.library import adapter_info as adapter_info
    from phaseno_peft.library import blend_adapters as blend_adapters
    from phaseno_peft.library import list_adapters as list_adapters
    from phaseno_peft.library import list_versions as list_versions
    from phaseno_peft.library import pull_adapter as pull_adapter
    from phaseno_peft.library import push_adapter as push_adapter
    from phaseno_peft.library import remove_adapter as remove_adapter
    from phaseno_peft.library import verify_adapters as verify_adapters
    from phaseno_peft.library import what_push_reveals as what_push_reveals
    from phaseno_peft.live import watch as watch
    from phaseno_peft.picking import NetworkPicker as NetworkPicker
    from phaseno_peft.picking import Picker as Picker
    from phaseno_peft.picking import load_adapter as load_adapter
    from phaseno_peft.picks import Pick as Pick
    from phaseno_peft.picks import PickList as PickList
    from phaseno_peft.pretraining import PretrainingSettings as PretrainingSettings
    from phaseno_peft.pretraining import pretrain as pretrain
    from phaseno_peft.simulation import simulate_campaign as simulate_campaign
    from phaseno_peft.training import TrainingSettings as TrainingSettings
    from phaseno_peft.training import train_adapter as train_adapter
else:
    __getattr__, __dir__, __all__ = lazy_names(__name__)

__version__ = "0.1.0"

register_with_peft()
