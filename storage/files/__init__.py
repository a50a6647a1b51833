"""Durable publication of files: where they go, how they get there, and the proof that they are what they were.

Knows nothing of the catalog: it returns facts that the caller records only after the bytes are synced.
"""
