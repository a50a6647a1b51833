"""The signalling frontend: SIP and SDP in, commands to writers and rows in the catalog out.

`session` is one recording session as plain state; `setup`, `changes` and `ending` are its life, `negotiation` and
`protection` (SRTP keys) what offer/answer means for writers; `moving` takes it to another writer, as `capabilities` of
its client allow, many of them by `lane`; `snapshots` asks for metadata; `recovery` takes it over from a dead process;
`twins` keeps copies of a call apart; `ability` is the truth behind `options` and 503; `dispatcher` gives each event to
its flow, one at a time per dialog; `frontend` holds what they share; `standby` waits for the lease; `process` wires
sockets to all of it.
"""
