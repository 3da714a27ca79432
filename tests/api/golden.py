"""Messages against the files in tests/golden/errors, with paths and line numbers made the same everywhere.

`JMPC_GOLDEN=write` writes the files anew; the diff is for a person to read.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from jmpc.errors import JMPCError

FOLDER = Path(__file__).parents[1] / "golden" / "errors"


def normal(message: str) -> str:
    """Folders, line and column numbers dropped, and JAX's words for a secret that is looked at."""
    message = re.sub(r"(/[^\s:]*/)?([\w-]+\.py):\d+(:\d+)?", r"\2:LINE", message)
    message = re.sub(r"(value of a secret) \(.*\)", r"\1 (...)", message)
    return re.sub(r"\(\w+\.<locals>\.", "(", message)


def assert_message(name: str, error: JMPCError) -> None:
    """The error reads as the golden text `name` does, and says what, where, why and what to do."""
    found, file = normal(f"{type(error).__name__}: {error}") + "\n", FOLDER / f"{name}.txt"
    if os.environ.get("JMPC_GOLDEN") == "write":
        FOLDER.mkdir(parents=True, exist_ok=True)
        file.write_text(found, encoding="utf-8")
    assert found == file.read_text(encoding="utf-8")
    assert error.what
    assert error.where
    assert error.why
    assert error.todo
