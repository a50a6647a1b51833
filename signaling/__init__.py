"""SIP, SDP and SIPREC as the Session Recording Server speaks them (RFC 3261, 3264, 7866, 7865).

A sans-IO core under one asyncio adapter (`signaling.transport`, the only place here that touches a socket or a
clock). Knows nothing of RTP writers or SQL. Layers, lowest first: `errors`, `sip` and `sdp` (grammar), `transaction`
(section 17), `dialog` (section 12) and `siprec` (metadata), `useragent` (UAS and UAC core), `transport`.
"""
