"""The curators: turn finished captures into recordings, at the lowest CPU and I/O priority.

`work` is the table of what they do: handlers by job kind, and chores by the clock; `process` takes jobs from the
catalog's queue until told to stop. `finalise` renders one recording and publishes it, `captures` brings
what other hosts wrote, `revive` tries again when they are back, `accounting` makes its ledger,
`copies` pairs and heals, `stating` signs manifests, `keeping` uploads and discards files, `retention` carries the
policy out, `erase` and `redact` remove. Every job may be interrupted anywhere and repeated, and captures are never
changed. Any number of curators work side by side. Nothing of the program but `recorder.role`
imports it.
"""
