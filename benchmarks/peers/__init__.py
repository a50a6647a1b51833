"""The same load against other recorders: rtpengine, and a plain asyncio recorder. `python -m benchmarks.peers`."""
