"""Figures: scores and residuals in `scores`, waveforms with picks in `sections`. matplotlib comes when one is drawn."""
