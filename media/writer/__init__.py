"""The capture writer: a process that drains RTP sockets into capture files. Top layer of `media`.

`protocol` is what a frontend speaks to it; the recorder imports it, the writer never imports the recorder.
"""
