"""RTP in, capture files out; capture files in, audio out. Knows nothing of SIP or SQL.

`rtp` (packet arithmetic) and `container` (the capture format, docs/storage-format.md) carry `writer` (the hot path,
a process of its own) and `pipeline` (finalising, in the curator).
"""
