"""`recorder-admin copies`: which recordings are copies of one call, why, and what an operator says about it.

One module per command. The rules are in `recorder.pairing` and docs/copies.md; what people decide is remembered by the
catalog, and no comparison overrides it.
"""
