"""Keeping promises while parts are away: the local journal and the catalog behind it.

`journal` is an append-only file of checkpoints; `durable_catalog` writes to PostgreSQL while it answers, to the
journal while it does not, and catches up afterwards.
"""
