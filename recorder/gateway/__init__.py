"""The door between the hosts of a site: mutual TLS, and behind it the writers and the active frontend of this host.

`link` is both ends of a connection, `captures` what a curator elsewhere needs of this host's; `process` answers, beats,
and keeps this host's row in the register. A writer's loop knows nothing of it: the gateway pipes bytes between a
connection and the writer's Unix socket.
"""
