"""The PostgreSQL of a lab: an embedded one, reached over TCP, so that a host that is cut off loses it as well.

Run as ``python -m recorder.lab.database DIRECTORY ADDRESS PORT`` on the database's host; ends with SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from storage.postgres import EmbeddedPostgres

READY: Final = "ready"
_CHUNK: Final = 1 << 16


async def _serve(directory: Path, address: str, port: int) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    postgres = EmbeddedPostgres(directory)
    await postgres.start()
    where = parse_qs(urlsplit(postgres.dsn).query)
    path = f"{where['host'][0]}/.s.PGSQL.{where['port'][0]}"

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_unix_connection(path)
        except OSError:
            writer.close()
            return
        tasks = [asyncio.ensure_future(_pass(reader, inner_writer)), asyncio.ensure_future(_pass(inner_reader, writer))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for stream in (writer, inner_writer):
            stream.close()

    server = await asyncio.start_server(relay, address, port)
    print(READY, flush=True)
    await stopped.wait()
    server.close()
    await postgres.stop()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
