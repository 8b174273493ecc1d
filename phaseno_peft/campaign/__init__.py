"""What a company holds, made into windows and labels: waveforms, stations and a catalogue in; numpy arrays out."""

from phaseno_peft.campaign.campaign import Campaign, prepare_recordings
from phaseno_peft.campaign.catalog import Catalogue, CatalogueEvent, LabelledPick
from phaseno_peft.campaign.catalog_files import read_catalogue
from phaseno_peft.campaign.channel_map_draft import write_channel_map
from phaseno_peft.campaign.check import sp_times_s
from phaseno_peft.campaign.completeness import Complete, CompleteList
from phaseno_peft.campaign.coordinates import edges, scaled_coordinates, unit_coordinates
from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.known_events import known_events, pick_times_sha256
from phaseno_peft.campaign.labels import known_samples, measure_label_offset, suggest_convention, triangles
from phaseno_peft.campaign.moved_labels import with_moved_labels
from phaseno_peft.campaign.recording import Recording
from phaseno_peft.campaign.seisbench_export import export_dataset
from phaseno_peft.campaign.splits import Folds, Split, all_events_sha256, fold_campaign, split_campaign
from phaseno_peft.campaign.station import Station
from phaseno_peft.campaign.station_files import read_stations
from phaseno_peft.campaign.stations import StationTable
from phaseno_peft.campaign.stretch import Stretch
from phaseno_peft.campaign.upstream import UpstreamWindows, merge_upstream, upstream_windows
from phaseno_peft.campaign.waveform_files import read_waveforms
from phaseno_peft.campaign.waveforms import prepare
from phaseno_peft.campaign.windows import (
    Window,
    WindowLabel,
    WindowSampler,
    cut_window,
    fixed_windows,
    further_noise_windows,
    noise_intervals,
    normalise,
)

__all__ = [
    "Campaign",
    "Catalogue",
    "CatalogueEvent",
    "Complete",
    "CompleteList",
    "Finding",
    "Folds",
    "LabelledPick",
    "Recording",
    "Split",
    "Station",
    "StationTable",
    "Stretch",
    "UpstreamWindows",
    "Window",
    "WindowLabel",
    "WindowSampler",
    "all_events_sha256",
    "cut_window",
    "edges",
    "export_dataset",
    "fixed_windows",
    "fold_campaign",
    "further_noise_windows",
    "known_events",
    "known_samples",
    "measure_label_offset",
    "merge_upstream",
    "noise_intervals",
    "normalise",
    "pick_times_sha256",
    "prepare",
    "prepare_recordings",
    "read_catalogue",
    "read_stations",
    "read_waveforms",
    "scaled_coordinates",
    "sp_times_s",
    "split_campaign",
    "suggest_convention",
    "triangles",
    "unit_coordinates",
    "upstream_windows",
    "with_moved_labels",
    "write_channel_map",
]
