"""The capture writer: a process that drains RTP sockets into capture files. Top layer of `media`.

`protocol` is what a frontend speaks to it; the recorder imports it, the writer never imports the recorder. From bottom
to top: `kernel` (system calls), `arena` (received datagrams), `packing` (bytes of a block), `sources` and `sifting`
(whose packets are accepted), `intake` (datagrams to blocks), `roster` (sessions and ports), `carousel` (turns),
`reception` (visits), `engine` (commands, durability), `control` (connections), `loop` (the process: `run_writer`).
"""
