"""The capture writer: a process that drains RTP sockets into capture files. Top layer of `media`.

`protocol` is what a frontend speaks to it; the recorder imports it, the writer never imports the recorder. From
bottom to top: `kernel` (system calls), `datagrams` (the port of received datagrams), `slots` and `arena` (what
recvmmsg gave), `packing` (bytes of a block), `keyring`, `opened` and `decryption` (SRTP), `sources` and `sifting`
(whose packets are accepted), `masking` (keyed digits), `statistics` and `reporter` (receiver reports), `intake`
(datagrams to blocks) and `reading` (all of these), `roster` (sessions and ports), `packet_source` (the port through
which packets come), `carousel` and `socket_source` (sockets visited in turns), `packet_socket`, `ring`, `ring_queue`,
`frames`, `port_map`, `diversion` (ports that flood a ring) and `ring_source` (one packet ring for all ports),
`syncing` (durability beside the loop), `capture_store` (where captures are made), `clock_watch` (steps of the wall
clock), `engine` (commands, durability), `control` (connections), `loop` (the process: `run_writer`).
"""
