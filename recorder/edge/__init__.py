"""The edge of the recorder: which peers it serves, how it treats each of them, and what is kept of what they said.

`tls` makes contexts from certificate files; `profile` and `profile_files` say how a kind of client is to be treated;
`networks`, `kernel_filter`, `shield`, `rate`, `glance`, `users`, `authentication` and `occupancy` decide who gets in,
and `gate` puts them in front of the user agent; `logins` answers challenges to our own requests; `trace` and `masking`
keep the messages of a session. `files` reads all that comes from files, `edge` is what a frontend has of it,
replaceable while it runs. Opens no socket, holds no call, and imports no process of the recorder.
"""
