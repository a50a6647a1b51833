"""The api process: uvicorn on the socket that the supervisor bound."""

from __future__ import annotations

import asyncio

import uvicorn

from recorder.api.health import application
from recorder.child_loop import ChildLoop
from recorder.role import Assignment


class _Server(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        """Leave signals to the supervisor's channel."""


def run(assignment: Assignment) -> None:
    """Serve until told to stop."""
    asyncio.run(_serve(assignment))


async def _serve(assignment: Assignment) -> None:
    config = uvicorn.Config(
        application(assignment.state_dir),
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=2,
    )
    server = _Server(config)
    sockets = [sock for _, sock in assignment.sockets["http"]]
    loop = ChildLoop(assignment.channel)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve(sockets))
        loop.start()
        loop.ready()
        await loop.stopped.wait()
        server.should_exit = True
