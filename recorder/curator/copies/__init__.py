"""The curators' work on copies of a call: `seek` finds candidates, `decide` compares their sound, `heal` makes masters.

`audio` opens the sound of a recording. The rules are in `recorder.pairing`, the arithmetic in `media.healing`, what was
found and decided in `storage.catalog.copies`. Each step may be interrupted anywhere and repeated.
"""
