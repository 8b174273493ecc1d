"""Where adapters live and how they are found."""

from phaseno_peft.library.names import check_name
from phaseno_peft.library.store import (
    StoredAdapter,
    adapter_folder,
    library_folder,
    list_adapters,
    read_adapter,
    read_config,
    write_adapter,
)

__all__ = [
    "StoredAdapter",
    "adapter_folder",
    "check_name",
    "library_folder",
    "list_adapters",
    "read_adapter",
    "read_config",
    "write_adapter",
]
