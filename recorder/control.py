"""Ask the running recorder of a state directory."""

from __future__ import annotations

import json
from typing import Any, Final

from recorder import unix_socket
from recorder.errors import NotRunningError
from recorder.state_dir import StateDir

_TIMEOUT_S: Final = 10.0


def ask(state_dir: StateDir, command: str, **arguments: Any) -> dict[str, Any]:
    """Return the supervisor's answer to one command.

    Raises:
        NotRunningError: no recorder runs on this state directory.

    """
    try:
        connection = unix_socket.connect(state_dir.control_socket)
    except PermissionError as error:
        raise NotRunningError(
            f"{state_dir.control_socket}: {error.strerror}: only the recorder's own user and root may ask it"
        ) from None
    except OSError:
        raise NotRunningError(
            f"no recorder runs on {state_dir.root}: start it with `recorder run --state-dir {state_dir.root}`,"
            " or name the right directory with --state-dir or RECORDER_STATE_DIR"
        ) from None
    with connection, connection.makefile("rwb") as stream:
        connection.settimeout(_TIMEOUT_S)
        try:
            stream.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
            stream.flush()
            answer: dict[str, Any] = json.loads(stream.readline())
        except (OSError, ValueError):
            raise NotRunningError(f"the recorder on {state_dir.root} does not answer; look at its log") from None
    return answer
