"""Many files to one list of picks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from obspy import Stream

from phaseno_peft.campaign import Finding, Recording, StationTable, prepare_recordings
from phaseno_peft.campaign.findings import gather, warnings_first
from phaseno_peft.contract import Preprocessing
from phaseno_peft.picking.picker import Picker
from phaseno_peft.picks import PickList

Progress = Callable[[int, int], None]
OnFindings = Callable[[Sequence[Finding]], None]


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
    progress: Progress | None = None,
    on_findings: OnFindings | None = None,
) -> PickList:
    """Picks of all streams with the adapter in force, in time order; files that overlap or touch are joined first.

    preprocessing: "upstream-v1" is for comparing the frozen backbone with upstream's picks; it takes all streams as one
    and fixes stride and merging. What could not be used is left out and stands in the list's `findings`; `on_findings`
    gets them as soon as they are known. Raises `CampaignError` for streams and stations that do not fit.
    """
    if preprocessing == "upstream-v1":
        whole = Stream([trace for stream in streams.values() for trace in stream])
        annotation = picker.annotation_as_upstream(whole, stations, progress=progress)
        picks = picker.picks(annotation, P_threshold=P_threshold, S_threshold=S_threshold)
        if on_findings is not None:
            on_findings(picks.findings)
        return picks

    def pick(recording: Recording, report: Progress | None) -> PickList:
        annotation = picker.annotate_recording(recording, stride_s=stride_s, merge=merge, progress=report)
        return picker.picks(annotation, P_threshold=P_threshold, S_threshold=S_threshold)

    with picker.held():  # one adapter for all files, whatever other threads choose meanwhile
        contract = picker.contract()
        used = contract.preprocessing if contract else Preprocessing()
        picks, _ = pick_recordings(pick, streams, stations, used, progress, on_findings)
    return picks


def pick_recordings(
    pick: Callable[[Recording, Progress | None], PickList],
    streams: Mapping[str, Stream],
    stations: StationTable,
    preprocessing: Preprocessing,
    progress: Progress | None = None,
    on_findings: OnFindings | None = None,
) -> tuple[PickList, tuple[Recording, ...]]:
    """Picks of all streams by `pick`, recording by recording, in time order, with all findings; and the recordings."""
    recordings, prepared = prepare_recordings(streams, stations, preprocessing)
    if on_findings is not None:
        on_findings(prepared)
    lists, later = [], []
    for done, recording in enumerate(recordings, start=1):
        found = pick(recording, progress if len(recordings) == 1 else None)
        lists.append(found)
        later.append([finding for finding in found.findings if finding not in recording.findings])
        if progress is not None and len(recordings) > 1:
            progress(done, len(recordings))
    while_picking = gather(later, len(recordings))
    if while_picking and on_findings is not None:
        on_findings(while_picking)
    picks = PickList(creator=lists[0].creator, findings=warnings_first([*prepared, *while_picking]))
    for found in lists:
        picks.extend(list(found))
    return picks.sorted(), recordings
