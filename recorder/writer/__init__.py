"""The writer process: `media.writer` with the sockets that the supervisor keeps. No SIP, no SQL, no asyncio."""
