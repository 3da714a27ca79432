"""Where compiled segments are kept on disk."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path | None:
    """`JMPC_CACHE_DIR`, else the user's cache folder; None where the variable is empty, or no folder can be made.

    The folder holds machine code of segments: shapes and protocols, no share and no key.
    """
    named = os.environ.get("JMPC_CACHE_DIR")
    if named == "":
        return None
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(named) if named else Path(base) / "jmpc" / "xla"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    return folder
