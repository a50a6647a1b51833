"""Measurements, each a command of its own; `python -m benchmarks` runs the short form of all. Not part of the tests."""
