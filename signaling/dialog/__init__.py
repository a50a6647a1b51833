"""Dialogs as the recorder keeps them: identity, sequence numbers, routes, session timer, snapshots (RFC 3261 §12).

State and rules only. Does not receive or send messages: `signaling.useragent` asks and acts.
"""
