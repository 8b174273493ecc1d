"""What an installation must do: the version, an adapter through both doors, a stream picked, one training step."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

started = time.perf_counter()


def said(text: str) -> None:
    """Print what was done, with the seconds since the start."""
    print(f"{time.perf_counter() - started:6.1f} s  {text}", flush=True)


def main() -> None:
    """Raise where something is not as it must be."""
    import obspy
    import torch
    from peft import PeftModel

    import phaseno_peft
    from phaseno_peft import adapter_folder, load_adapter, load_backbone, simulate_campaign
    from phaseno_peft.campaign import Campaign
    from phaseno_peft.training import TrainingSettings, train_adapter

    command = Path(sys.executable).parent / "phaseno-peft"
    version = subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    assert version == f"phaseno-peft {phaseno_peft.__version__}", version
    assert "site-packages" in str(phaseno_peft.__file__), phaseno_peft.__file__
    said(f"{version}, Python {sys.version.split()[0]}, torch {torch.__version__}")

    made = simulate_campaign("ohio-frac", "ohio", seed=5, events=8, continuous_minutes=2, continuous_events=2)
    picker = load_adapter("ohio-frac")
    stream = obspy.read(str(made.continuous))
    picks = picker.classify(stream, made.stations)
    assert picks, "no pick in two minutes with two simulated events"
    said(f"our door: {len(picks)} picks by {picker.active_adapter}")

    model = PeftModel.from_pretrained(load_backbone(), adapter_folder("ohio-frac"))
    ours = {name for name, _ in model.named_parameters() if "crlora_" in name}
    assert ours, "PEFT loaded no tensor of the adapter"
    said(f"PEFT's door: {len(ours)} tensors")

    catalog = obspy.read_events(made.picks)
    catalog.write("picks.csv", format="PHASENET_CSV")
    assert obspy.read_events("picks.csv", format="PHASENET_CSV")
    said("obspy writes and reads PHASENET_CSV")

    campaign = Campaign.read(made.waveforms, made.stations, made.picks, name="ohio")
    settings = TrainingSettings(epochs=1, windows_per_epoch=1)
    trained = train_adapter("smoke", campaign, training=settings, folds=0, label_source="simulated")
    assert load_adapter("smoke").active_adapter == "smoke"
    said(f"one training step: {trained.folder.name}")


if __name__ == "__main__":
    main()
