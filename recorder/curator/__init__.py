"""The curators: turn finished captures into recordings, at the lowest CPU and I/O priority.

`work` is the table of what they do: handlers by job kind, and chores by the clock. `finalise` renders one recording and
publishes it; `process` takes jobs from the catalog's queue until told to stop. A job may be interrupted at any point
and repeated: the captures are its only input and are never changed. Any number of curators work side by side.
"""
