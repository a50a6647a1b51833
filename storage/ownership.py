"""Whose a new file is: what root makes in a directory of another user belongs to that user.

Administrators type commands as root, and the recorder need not run as root: a key or a recording that it cannot read
would be lost to it.
"""

from __future__ import annotations

import os
from pathlib import Path


def give_to_owner(made: int | Path, directory: Path) -> None:
    """Give a new file (its descriptor, or its path) or folder to the owner of the directory that it was made for.

    Does nothing unless this process is root's and the directory is not. Errors: `OSError` where root may not do it.
    """
    if os.geteuid() != 0:
        return
    owner = directory.stat()
    if owner.st_uid == 0:
        return
    if isinstance(made, int):
        os.fchown(made, owner.st_uid, owner.st_gid)
    else:
        os.chown(made, owner.st_uid, owner.st_gid, follow_symlinks=False)
