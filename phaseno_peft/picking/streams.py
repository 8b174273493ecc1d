"""Many files to one list of picks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

from phaseno_peft.campaign import StationTable, prepare_recordings
from phaseno_peft.contract import Preprocessing
from phaseno_peft.picking.picker import Picker
from phaseno_peft.picking.picks import PickList

if TYPE_CHECKING:
    from obspy import Stream


def classify_files(
    picker: Picker,
    streams: Mapping[str, Stream],
    stations: StationTable,
    *,
    P_threshold: float | None = None,
    S_threshold: float | None = None,
    stride_s: float | None = None,
    merge: Literal["mean", "median", "max"] = "mean",
    progress: Callable[[int, int], None] | None = None,
) -> PickList:
    """Picks of all streams with the adapter in force, in time order; files that overlap or touch are joined first.

    Raises `CampaignError` for streams and stations that do not fit.
    """
    contract = picker.contract()
    recordings, _ = prepare_recordings(streams, stations, contract.preprocessing if contract else Preprocessing())
    picks = PickList(creator=picker.active_adapter or f"frozen {picker.backbone_name}")
    for done, recording in enumerate(recordings, start=1):
        annotation = picker.annotate_recording(
            recording, stations, stride_s=stride_s, merge=merge, progress=progress if len(recordings) == 1 else None
        )
        picks.extend(picker.picks(annotation, P_threshold=P_threshold, S_threshold=S_threshold))
        if progress is not None and len(recordings) > 1:
            progress(done, len(recordings))
    return picks.sorted()
