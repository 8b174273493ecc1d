"""Probabilities of the frozen backbone with preprocessing "upstream-v1", for comparing with published picks."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from phaseno_peft.backbone import StationGraph
from phaseno_peft.campaign import StationTable, merge_upstream, read_stations, upstream_windows
from phaseno_peft.contract import EDGE_LIMIT_KM, PHASES
from phaseno_peft.cr_lora import selected_adapter
from phaseno_peft.errors import AdapterError
from phaseno_peft.picking.annotations import Annotation

if TYPE_CHECKING:
    from obspy import Inventory, Stream

    from phaseno_peft.picking.picker import Picker


def annotate_as_upstream(
    picker: Picker,
    stream: Stream,
    stations: Inventory | StationTable | str | Path,
    *,
    center: tuple[float, float] | None = None,
    edge_limit_km: float = EDGE_LIMIT_KM,
    accelerometers: Collection[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Annotation:
    """Annotate as upstream's notebook does, 10 ms early and all; `picker.picks` makes picks of it.

    Adapters are trained with "campaign-v1" and refused with `AdapterError`. See `phaseno_peft.campaign.upstream` for
    what differs, and `upstream_windows` for the arguments and the errors.
    """
    if picker.active_adapter is not None:
        raise AdapterError(
            f"adapter {picker.active_adapter!r} needs preprocessing 'campaign-v1'. Use picker.frozen() here."
        )
    cut = upstream_windows(
        stream, read_stations(stations), center=center, edge_limit_km=edge_limit_km, accelerometers=accelerometers
    )
    graph = StationGraph(torch.from_numpy(cut.coordinates), *torch.from_numpy(cut.edges))
    found = np.zeros((len(cut.starts), len(cut.coordinates), len(PHASES), cut.waveforms.shape[-1]), np.float32)
    device = next(picker.backbone.parameters()).device
    with torch.inference_mode(), selected_adapter(None):
        for i in np.flatnonzero(cut.complete):
            logits = picker.backbone(torch.from_numpy(cut.waveforms[i]).to(device), graph.to(device))
            found[i] = torch.sigmoid(logits).cpu().numpy()
            if progress is not None:
                progress(int(i) + 1, len(found))
    merged = merge_upstream(cut.starts, found)[..., : cut.recording.n_samples]
    thresholds = dict(picker.backbone_thresholds)
    return Annotation(cut.recording, merged, f"frozen {picker.backbone_name}", None, thresholds)
