"""Who runs a command: the name under which its doings enter the audit log."""

from __future__ import annotations

import os
import pwd
import socket


def operator() -> str:
    """Return `user@host`: the user of the operating system, with the one who used sudo before it, if any."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = f"uid-{os.getuid()}"
    behind = os.environ.get("SUDO_USER")
    # Sudo sets the variable itself; a user who forges it still shows with the account that was used.
    name = f"{behind} as {user}" if behind and behind != user else user
    return f"{name}@{socket.gethostname()}"
