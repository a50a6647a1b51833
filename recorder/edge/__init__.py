"""The edge of the recorder: which peers it serves, how it treats each of them, and what is kept of what they said.

`tls` makes contexts from certificate files; `profile` and `profile_files` say how a kind of client is to be treated;
`networks`, `kernel_filter`, `rate`, `digest` and `occupancy` decide who gets in, and `gate` puts them in front of the
user agent; `trace` and `masking` keep the messages of a session. Opens no socket and holds no call.
"""
