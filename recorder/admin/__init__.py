"""The `recorder-admin` command: composes the storage administrator's commands with those of the running recorder.

`storage.cli` brings everything about recordings; what needs both catalog and media, or the rules of `recorder`, is
here (`captures`, `copies`, `recordings_import`, `recordings_redact`, `conversion`); `status`, `switchover` and
`writers` ask the running recorder (`recorder.control`); `app` puts all together.
"""

from recorder.program import run


def main() -> None:
    """Entry point of the `recorder-admin` command."""
    run("recorder.admin.app")
