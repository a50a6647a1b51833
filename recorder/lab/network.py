"""Network namespaces on a bridge, by the `ip` command: each is a host that can be cut off."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from typing import Final

from recorder.errors import SetupError

INTERFACE: Final = "eth0"
"""Of every host."""
_PREFIX: Final = 24


class LabNetwork:
    """A bridge in a namespace of its own, and hosts on it; `close` removes everything.

    Args:
        name: short; the names of the namespaces begin with it. Several may exist at once.

    Raises:
        SetupError: this process may not make namespaces, or `ip` is missing.

    """

    def __init__(self, name: str) -> None:
        if os.geteuid() != 0 or shutil.which("ip") is None:
            raise SetupError("recorder lab needs root and the command ip (Debian: iproute2)")
        self._name = name
        self.switch = f"{name}-switch"
        """Namespace of the bridge."""
        self._hosts: list[str] = []
        _ip("netns", "add", self.switch)
        try:
            self._in_switch("link", "add", "br0", "type", "bridge", "forward_delay", "0")
            self._in_switch("link", "set", "br0", "up")
        except BaseException:
            self.close()
            raise

    def namespace(self, host: str) -> str:
        """Return the name of a host's namespace."""
        return f"{self._name}-{host}"

    def port(self, host: str) -> str:
        """Return the name of a host's port at the bridge."""
        return f"p-{host}"

    def add(self, host: str, address: str) -> None:
        """Make a host with this IPv4 address."""
        namespace, port = self.namespace(host), self.port(host)
        _ip("netns", "add", namespace)
        self._hosts.append(host)
        self._in_switch("link", "add", port, "type", "veth", "peer", "name", INTERFACE, "netns", namespace)
        self._in_switch("link", "set", port, "master", "br0", "up")
        for arguments in (
            ("link", "set", "lo", "up"),
            ("addr", "add", f"{address}/{_PREFIX}", "dev", INTERFACE),
            ("link", "set", INTERFACE, "up"),
        ):
            _ip("-n", namespace, *arguments)

    def cut(self, host: str) -> None:
        """Cut a host off: nothing reaches it, nothing leaves it, and nobody is told."""
        # The bridge forgets the port; the host's own interface stays up, as behind a dead switch.
        self._in_switch("link", "set", self.port(host), "nomaster")

    def mend(self, host: str) -> None:
        """Connect it again."""
        self._in_switch("link", "set", self.port(host), "master", "br0")

    def command(self, host: str, arguments: Sequence[str]) -> list[str]:
        """Return the command that runs another one on a host."""
        return ["ip", "netns", "exec", self.namespace(host), *arguments]

    def addresses(self, host: str) -> str:
        """Return what `ip addr` says on a host."""
        return _ip("-n", self.namespace(host), "-o", "addr", "show", "dev", INTERFACE)

    def close(self) -> None:
        """Remove all namespaces; their processes have ended."""
        for host in self._hosts:
            _ip("netns", "del", self.namespace(host), check=False)
        self._hosts.clear()
        _ip("netns", "del", self.switch, check=False)

    def _in_switch(self, *arguments: str) -> None:
        _ip("-n", self.switch, *arguments)


def _ip(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607
    if check and done.returncode:
        raise SetupError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
