"""The front doors: each turns an INVITE into one `RecordingRequest`, so that everything behind them is the same.

`msr` reads Genesys Media Server recording sessions (data in the Request-URI), `siprec` reads RFC 7866 sessions
(data in rs-metadata), `plain` takes any other INVITE that local policy accepts. `entrance` picks the door. Pure: no
I/O; a fault in the metadata is a warning on the recording and never refuses the call.
"""
