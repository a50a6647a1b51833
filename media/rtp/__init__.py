"""RTP and RTCP as arithmetic over numpy arrays, RFC 3550; no file, no socket, no audio.

`packet` takes headers apart, `sequence` makes numbers continuous, `source` finds restarts and asks `reported_clock`,
`ordering` undoes reordering and duplication, `jitter` and `rtcp` serve measurement and clocks. The writer and the
pipeline import it.
"""
