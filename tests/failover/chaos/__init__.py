"""Faults for a running recorder, phases of a dialog at which they strike, and the oracle that judges what came of it.

`faults` strikes processes with signals; `literal` is a client whose every message the test decides; `oracle` reads the
simulator's journal, the captures and the catalog; `rounds` runs random rounds from a seed, and
`python -m tests.failover.chaos` many of them.
"""
