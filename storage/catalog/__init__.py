"""The catalog: recordings, segments, dialogs, leases and jobs in PostgreSQL, through asyncpg.

`records` are the values of writes, `views` those of queries, `store.Catalog` is the way in; what belongs to one
subject (`audit`, `captures`, `copies`, `deletions`, `file_lives`, `holds`, `jobs`, `reports`, `search`, ...) has a
module behind it. `migrate.migrate` brings a database to this program's schema. SQL lives in `.sql` files beside the
code.
"""

from storage.catalog.migrate import migrate
from storage.catalog.store import Catalog

__all__ = ["Catalog", "migrate"]
