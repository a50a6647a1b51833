"""Keeping promises while parts are away: the local journal and the catalog behind it.

`journal` is an append-only file of checkpoints; `durable_catalog` writes to PostgreSQL while it answers, to the
journal while it does not, and catches up afterwards; `writes` are those writes as bytes, and `vault` seals what they
say of live sessions.

Between frontends: `lease` is the pure machine of who may act and until when, `tenure` runs it; `feed` and `follower`
tell standbys every dialog, `replica` is what they keep; `address` is the SIP address that moves with the lease;
`settings` is the table `[ha]`.
"""
