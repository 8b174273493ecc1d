"""Attacks on reading, loading, writing and picking, counted. `python -m benchmarks.attack --help` says how."""
