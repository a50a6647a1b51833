"""Which recordings are copies of one call: candidates by call data, certainty by sound. Pure policy, no I/O.

`keys` is what may join two recordings, `candidates` whether two that share a key may be copies at all, `verdict` what
the comparison of their sound proves, `components` which recordings are copies of one another when all pairs of a group
are put together. `sessions` says what two sessions of one recording are that ran at the same time. See docs/copies.md.
"""
