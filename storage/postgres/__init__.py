"""The embedded PostgreSQL server: one small module, replaceable (docs/adr)."""
