"""All traffic with the Hugging Face Hub: verified snapshots in, one commit out, every refusal as a sentence.

`huggingface_hub` is imported inside functions only: nothing here costs anything, or reaches the network, before a Hub
name is asked for. Its own settings hold: HF_TOKEN, HF_HOME, HF_HUB_OFFLINE, HF_ENDPOINT.
"""

from phaseno_peft.hub.fetch import Snapshot, fetch
from phaseno_peft.hub.listing import Version, list_repositories, list_versions
from phaseno_peft.hub.names import HubName, Kind, hub_name
from phaseno_peft.hub.publish import Published, publish

__all__ = [
    "HubName",
    "Kind",
    "Published",
    "Snapshot",
    "Version",
    "fetch",
    "hub_name",
    "list_repositories",
    "list_versions",
    "publish",
]
