"""The `recorder-admin` command: composes the storage administrator's commands with those of the running recorder.

`storage.cli` brings everything about recordings; `control` talks to the supervisor; `status` shows its processes.
"""

from recorder.admin.app import main

__all__ = ["main"]
