"""Tandem, the call recorder server: the composition root.

The only package in which SIP, RTP and SQL words meet. It may import `signaling`, `media` and `storage`; none of them
may import it, or each other (import contracts in `pyproject.toml`).
"""
