"""A first channel map of a file whose traces say little, to be filled in and given back as `channels`."""

from __future__ import annotations

from pathlib import Path

from phaseno_peft.campaign.channel_files import ENDINGS, first_channel_map
from phaseno_peft.campaign.waveform_files import read_file
from phaseno_peft.errors import CampaignError
from phaseno_peft.files import write_file


def write_channel_map(waveforms: str | Path, out: str | Path = "channels.yaml", *, overwrite: bool = False) -> Path:
    """Write a YAML file with a line for each trace of one waveform file, and return its path.

    Raises `CampaignError` for a file that cannot be read, another ending of `out`, or one that exists and shall not be
    replaced.
    """
    target = Path(out)
    if target.suffix.lower() not in ENDINGS:
        raise CampaignError(f"{target}: unknown ending {target.suffix!r}. A channel map is YAML: use .yaml.")
    if target.exists() and not overwrite:
        raise CampaignError(f"{target}: exists already. Choose another name, or replace it with --overwrite.")
    stream = read_file(Path(waveforms), in_folder=False, headers_only=True)
    return write_file(target, first_channel_map(stream or ()))
