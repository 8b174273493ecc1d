"""Months of record, picked task by task: here or on a cluster, stopped and continued, into a folder of picks."""

from typing import TYPE_CHECKING

from phaseno_peft.lazy_names import lazy_names

if TYPE_CHECKING:
    from phaseno_peft.archive.run_archive import ArchiveSummary as ArchiveSummary
    from phaseno_peft.archive.run_archive import pick_archive as pick_archive
    from phaseno_peft.archive.run_archive import read_picks as read_picks
else:
    __getattr__, __dir__, __all__ = lazy_names(__name__)
