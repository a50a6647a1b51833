"""Curator and PostgreSQL killed at every step of publishing, sealing and discarding.

`victim` is a curator that dies at the n-th step; `rounds` lets victims die one after the other and then asks whether
any recording or file was lost, doubled or orphaned. `python -m tests.failover.files --rounds 1000 --seed 1` is the long
form.
"""
