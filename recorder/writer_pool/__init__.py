"""The frontend's side of the writer pool: one client per writer, and where new sessions go.

`client` speaks `media.writer.protocol`; `placement` is the pure choice; `pool` holds the clients;
`hosts` watches the other hosts of a site and brings their writers.
"""
