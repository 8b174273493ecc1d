"""phaseno-peft."""
