"""The `recorder` command, also as `python -m recorder`."""

from __future__ import annotations

from recorder.program import run


def main() -> None:
    """Entry point of the `recorder` command."""
    run("recorder.commands")


if __name__ == "__main__":
    main()
