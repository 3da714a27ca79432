"""The rival's virtual environment: SPU pins one JAX release, so it cannot share jmpc's.

In: nothing, or the path of a Python that has SPU already. Out: the path of a Python that can import it. The environment
is made once, at bench/.venv-spu, which git ignores.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

SPU_REQUIREMENT = "spu==0.10.0.dev20251211"
SPU_PYTHON_VERSION = (3, 11)  # the only one that release has wheels for
FOLDER = Path(__file__).parents[1] / ".venv-spu"


class RivalMissing(RuntimeError):
    """SPU cannot be run here; the message says what to do."""


def spu_python(given: Path | None = None) -> Path:
    """A Python that imports SPU: the one given, else the one of the environment made here."""
    python = given if given is not None else FOLDER / "bin" / "python"
    if given is None and not has_spu(python):
        make_environment(FOLDER)
    if not has_spu(python):
        raise RivalMissing(
            f"{python} cannot import spu. Give a Python that can with --spu-python, "
            f"remove {FOLDER} to have it made again, or leave SPU out with --no-spu."
        )
    return python


def has_spu(python: Path) -> bool:
    """Whether this Python exists and imports SPU."""
    if not python.exists():
        return False
    return subprocess.run([python, "-c", "import spu"], capture_output=True).returncode == 0


def make_environment(folder: Path) -> None:
    """Make the environment and install SPU in it; pip shows its own progress."""
    base = base_python()
    print(f"Installing {SPU_REQUIREMENT} in {folder} (once; some hundred megabytes)", file=sys.stderr)
    try:
        subprocess.run([base, "-m", "venv", "--clear", folder], check=True, stdout=sys.stderr)
        pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, SPU_REQUIREMENT], check=True, stdout=sys.stderr)
    except subprocess.CalledProcessError as error:
        raise RivalMissing(f"Could not install SPU ({error}). Leave it out with --no-spu.") from error


def base_python() -> str:
    """The Python to make the environment with: SPU has wheels for one version only."""
    if sys.version_info[:2] == SPU_PYTHON_VERSION:
        return sys.executable
    name = "python{}.{}".format(*SPU_PYTHON_VERSION)
    found = shutil.which(name)
    if found is None:
        raise RivalMissing(f"SPU needs {name}, which is not on PATH. Install it, or leave SPU out with --no-spu.")
    return found
