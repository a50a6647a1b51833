"""The supervisor's control socket: one JSON object per line asks, one JSON object per line answers.

`recorder-admin` is its only client; the socket's mode and directory keep other users out.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

_MAX_LINE: Final = 64 * 1024

Handler = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]


class ControlServer:
    """Serves the commands in `handlers` until `close`."""

    def __init__(self, listener: socket.socket, handlers: Mapping[str, Handler]) -> None:
        self._listener = listener
        self._handlers = handlers
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to answer."""
        self._server = await asyncio.start_unix_server(self._serve, sock=self._listener, limit=_MAX_LINE)

    def close(self) -> None:
        """Stop answering."""
        if self._server:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            # The client left, or its line is longer than any command: nothing to tell anybody.
            pass
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            handler = self._handlers[request["command"]]
        except (ValueError, TypeError, KeyError):
            return {"error": f"unknown command; known: {', '.join(sorted(self._handlers))}"}
        return await handler(request)
