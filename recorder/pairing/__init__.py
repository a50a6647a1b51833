"""Which recordings are copies of one call: candidates by call data, certainty by sound. Pure policy, no I/O.

`facts` is what is known of a recording, `keys` what may join two of them, `candidates` whether two that share a key may
be copies at all, `verdict` what the comparison of their sound proves. See docs/copies.md.
"""
