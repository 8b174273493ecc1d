"""Many files to one list of picks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from obspy import Stream

from phaseno_peft.campaign import StationTable, prepare_recordings
from phaseno_peft.contract import Preprocessing
from phaseno_peft.picking.picker import Picker
from phaseno_peft.picking.picks import PickList


def classify_files(
    picker: Picker,
    streams: Mapping[str, Stream],
    stations: StationTable,
    *,
    P_threshold: float | None = None,
    S_threshold: float | None = None,
    stride_s: float | None = None,
    merge: Literal["mean", "median", "max"] = "mean",
    preprocessing: Literal["campaign-v1", "upstream-v1"] = "campaign-v1",
    progress: Callable[[int, int], None] | None = None,
) -> PickList:
    """Picks of all streams with the adapter in force, in time order; files that overlap or touch are joined first.

    preprocessing: "upstream-v1" is for comparing the frozen backbone with upstream's picks; it takes all streams as one
    and fixes stride and merging. Raises `CampaignError` for streams and stations that do not fit.
    """
    if preprocessing == "upstream-v1":
        whole = Stream([trace for stream in streams.values() for trace in stream])
        annotation = picker.annotation_as_upstream(whole, stations, progress=progress)
        return picker.picks(annotation, P_threshold=P_threshold, S_threshold=S_threshold)
    contract = picker.contract()
    recordings, _ = prepare_recordings(streams, stations, contract.preprocessing if contract else Preprocessing())
    picks = PickList(creator=picker.active_adapter or f"frozen {picker.backbone_name}")
    for done, recording in enumerate(recordings, start=1):
        annotation = picker.annotate_recording(
            recording, stride_s=stride_s, merge=merge, progress=progress if len(recordings) == 1 else None
        )
        picks.extend(picker.picks(annotation, P_threshold=P_threshold, S_threshold=S_threshold))
        if progress is not None and len(recordings) > 1:
            progress(done, len(recordings))
    return picks.sorted()
