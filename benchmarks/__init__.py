"""Measurements, each a command of its own; `python -m benchmarks` runs the short form of all. Never part of the tests."""
