"""RTP in, capture files out; capture files in, audio out. Knows nothing of SIP or SQL.

`rtp` (packet arithmetic), `srtp` and `container` (the capture format, docs/storage-format.md) carry `writer` (the hot
path, a process of its own) and `pipeline` (finalising, in the curator). `healing` makes one master of copies of a call,
`export` other forms of finished files; both know nothing of writers.
"""
