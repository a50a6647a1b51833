"""`python -m storage.verify DIR --key PEM`: check recordings with nothing but their files and a public key.

The same as `recorder-admin verify --offline`; it needs no recorder, no catalog and no settings. Exit codes are those of
docs/admin-cli.md: 0 intact, 2 usage, 3 no such file, 5 something was changed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from storage.errors import StorageError
from storage.exit_codes import ExitCode, exit_code_of
from storage.integrity import PublicKeys
from storage.integrity.verify import check_place


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m storage.verify", description="Check recordings by manifests.")
    parser.add_argument("folder", type=Path, help="folder with recordings and their manifests, or an exported zip file")
    parser.add_argument("--key", type=Path, action="append", required=True, help="public key, or a folder of them")
    parser.add_argument("--json", action="store_true", help="print one JSON object for scripts")
    options = parser.parse_args(arguments)
    try:
        check = check_place(options.folder, PublicKeys.read(options.key))
    except StorageError as error:
        print(f"storage.verify: {error}", file=sys.stderr)
        return int(exit_code_of(error))
    if options.json:
        faults = [{"subject": subject, "what": what} for subject, what in check.faults]
        print(
            json.dumps(
                {"manifests": check.manifests, "files": check.files, "intact": check.intact, "faults": faults}, indent=2
            )
        )
    else:
        for subject, what in check.faults:
            print(ascii(f"{subject}: {what}")[1:-1])
        verdict = "intact" if check.intact else "NOT INTACT"
        print(f"{verdict}: {check.manifests} manifests, {check.files} files as they were sealed")
    return ExitCode.OK if check.intact else ExitCode.INTEGRITY


if __name__ == "__main__":
    raise SystemExit(main())
