"""Routes: /healthz (this process lives), /readyz (the same truth as OPTIONS), /metrics, /v1/status."""

from __future__ import annotations

import asyncio
from typing import Any

from litestar import Litestar, MediaType, Response, get

from recorder.api.metrics import exposition
from recorder.control import ask
from recorder.errors import NotRunningError
from recorder.state_dir import StateDir


def application(state_dir: StateDir) -> Litestar:
    """Return the ASGI application of one host."""

    async def current() -> dict[str, Any] | None:
        try:
            return await asyncio.to_thread(ask, state_dir, "status")
        except NotRunningError:
            return None

    @get("/healthz", media_type=MediaType.TEXT)
    async def healthz() -> str:
        return "alive\n"

    @get("/readyz", media_type=MediaType.TEXT)
    async def readyz() -> Response[str]:
        answer = await current()
        reason = not_ready_because(answer)
        return Response(f"{reason or 'able to record'}\n", status_code=503 if reason else 200)

    @get("/metrics", media_type=MediaType.TEXT)
    async def metrics() -> Response[bytes]:
        answer = await current()
        if answer is None:
            return Response(b"", status_code=503)
        return Response(exposition(answer), media_type="text/plain; version=0.0.4; charset=utf-8")

    @get("/v1/status")
    async def status() -> Response[dict[str, Any]]:
        answer = await current()
        return Response(answer or {"error": "the supervisor does not answer"}, status_code=200 if answer else 503)

    return Litestar([healthz, readyz, metrics, status], openapi_config=None, logging_config=None)


def not_ready_because(status: dict[str, Any] | None) -> str:
    """Return why this host cannot record now; empty when it can."""
    if status is None:
        return "the supervisor does not answer"
    if status["state"] != "running":
        return f"the recorder is {status['state']}"
    active = [one for one in status["processes"] if one["role"] == "frontend" and one["state"] == "active"]
    if not active:
        return "no signalling frontend is active"
    return str(active[0].get("unable", ""))
