"""Files and folders that appear whole or not at all, and the manifest by which a reader knows them whole."""

from phaseno_peft.files.atomic import (
    check_folder,
    lock,
    remove_folder,
    settle,
    sweep,
    version_of,
    write_file,
    write_folder,
)
from phaseno_peft.files.manifest import (
    MANIFEST,
    Manifest,
    altered_files,
    read_manifest,
    sha256,
    write_manifest,
)

__all__ = [
    "MANIFEST",
    "Manifest",
    "altered_files",
    "check_folder",
    "lock",
    "read_manifest",
    "remove_folder",
    "settle",
    "sha256",
    "sweep",
    "version_of",
    "write_file",
    "write_folder",
    "write_manifest",
]
