"""The embedded PostgreSQL server: one small package, replaceable (docs/adr).

`server` creates, starts and stops it, `account` and `launcher` find an unprivileged identity for it when the recorder
is root, `sockets` places its Unix socket, `memory` bounds its buffers. It knows nothing of the catalog.
"""

from storage.postgres.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres"]
