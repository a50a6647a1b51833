"""How a process gives way to those that somebody waits for."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def give_way(process: int, nice: int) -> bool:
    """Lower the CPU priority of a process to at least this nice level.

    The kernel may share a core between sessions, and only within each of them by nice level (sched(7), "The autogroup
    feature"): where a process has a session of its own its level counts for nothing, so the session gets it as well.

    Args:
        process: its number.
        nice: 0 to 19; one that is higher already stays.

    Returns:
        False if the kernel wants to be asked again after a tenth of a second, as it does where several processes of
        ordinary users ask at once; True otherwise, also where it does not let us: then the process runs as it is.

    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process, max(os.getpriority(os.PRIO_PROCESS, process), nice))
    try:
        if os.getsid(process) == process:
            Path(f"/proc/{process}/autogroup").write_text(str(nice))
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
