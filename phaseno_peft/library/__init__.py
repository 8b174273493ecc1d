"""Where adapters live, how they are found, and how they travel."""

from phaseno_peft.library.blending import blend_adapters
from phaseno_peft.library.inventory import AdapterInfo, Verification, adapter_info, remove_adapter, verify_adapters
from phaseno_peft.library.names import check_name
from phaseno_peft.library.push_pull import list_versions, pull_adapter, push_adapter, what_push_reveals
from phaseno_peft.library.resolve import Located, find_adapter, library_folder, list_adapters
from phaseno_peft.library.sharing import Disclosure
from phaseno_peft.library.store import (
    Origin,
    StoredAdapter,
    adapter_folder,
    read_adapter,
    read_config,
    read_contract,
    write_adapter,
)

__all__ = [
    "AdapterInfo",
    "Disclosure",
    "Located",
    "Origin",
    "StoredAdapter",
    "Verification",
    "adapter_folder",
    "adapter_info",
    "blend_adapters",
    "check_name",
    "find_adapter",
    "library_folder",
    "list_adapters",
    "list_versions",
    "pull_adapter",
    "push_adapter",
    "read_adapter",
    "read_config",
    "read_contract",
    "remove_adapter",
    "verify_adapters",
    "what_push_reveals",
    "write_adapter",
]
