"""Start the process of one party, which takes from this process what is listed here and nothing else.

In: the party's module and command line, the descriptors that it inherits. Out: a running process with a pipe to its
standard input. The process is isolated: no working directory, no PYTHON variables and no `.pth` file decides what it
imports. It gets the folder of jmpc, the folders from which this process took the packages below, and the variables
below.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from importlib.machinery import PathFinder
from pathlib import Path

from jmpc.errors import ConfigError, LaunchError

BOOT = os.path.abspath(Path(__file__).with_name("party_boot.py"))
PACKAGE = os.path.dirname(os.path.dirname(BOOT))

# What a party imports besides jmpc and the standard library. jax_plugins: where JAX finds accelerators.
PACKAGES = (
    "jax", "jaxlib", "jax_plugins", "numpy", "scipy", "ml_dtypes", "opt_einsum",
    "cryptography", "cffi", "_cffi_backend", "msgpack", "structlog", "prometheus_client",
)  # fmt: skip

# What a party takes from the environment of the driver; docs/security.md says what for.
VARIABLES = (
    "HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "JMPC_CACHE_DIR", "JMPC_CODE",
    "PATH", "LD_LIBRARY_PATH", "TMPDIR", "TZ", "LANG", "LC_ALL", "LC_CTYPE",
    "JAX_PLATFORMS", "XLA_FLAGS", "LIBTPU_INIT_ARGS", "TF_CPP_MIN_LOG_LEVEL",
    "XLA_PYTHON_CLIENT_PREALLOCATE", "XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_ALLOCATOR",
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "TPU_VISIBLE_CHIPS",
    "NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MALLOC_ARENA_MAX",
)  # fmt: skip
_FOLDERS = ("JMPC_CACHE_DIR",)  # relative ones are meant from where the driver is


def spawn(
    main: str,
    arguments: Sequence[str],
    fds: Mapping[str, int],
    path: Sequence[str],
    environment: Mapping[str, str],
    show_stderr: bool,
    modules: Sequence[str] = (),
) -> subprocess.Popen[bytes]:
    """Start a party. main: its module.  fds: by the name of its option, descriptors that it inherits.  path,
    environment: folders and variables besides those listed above.  modules: what it imports besides, from folders that
    it looks into last."""
    named = [word for name in modules for word in ("--module", name)]
    inherited = [word for name, fd in fds.items() for word in (name, str(fd))]
    given = [*arguments, *inherited, *named]
    command = isolated(path, modules, parent=os.getpid(), main=main, arguments=given)

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=None if show_stderr else subprocess.DEVNULL,
            pass_fds=tuple(fds.values()),
            env={**allowed(os.environ), **environment},
            cwd="/",
        )

    try:
        return _by_the_launcher(start)
    except OSError as exc:
        raise LaunchError("a party could not be started", why=f"{command[0]}: {exc.strerror}") from exc


def isolated(
    path: Sequence[str], modules: Sequence[str], *, main: str, arguments: Sequence[str], parent: int | None = None
) -> list[str]:
    """The command line of an interpreter that runs the `main` of a module, and imports from the folders of jmpc, of
    what a party needs, of `path` and of `modules` alone. parent: the process to end with."""
    if not sys.executable:
        raise LaunchError("there is no Python to start a party with", why="sys.executable is empty: Python is embedded")
    command = [os.path.abspath(sys.executable), "-I", "-S", BOOT, "--package", PACKAGE]
    command += ["--parent", str(parent)] if parent is not None else []
    for folder in dict.fromkeys((*map(os.path.abspath, path), *import_path(), *_folders_of_modules(modules))):
        command += ["--path", folder]
    return [*command, main, *arguments]


def allowed(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of `environ` that a party may have."""
    found = {name: environ[name] for name in VARIABLES if name in environ}
    return {name: os.path.abspath(value) if name in _FOLDERS and value else value for name, value in found.items()}


def import_path() -> list[str]:
    """The folders from which this process imports the packages that a party needs, in the order of its own path."""
    found = dict.fromkeys(folder for name in PACKAGES for folder in _folders_of(name))
    return sorted(found, key=lambda folder: sys.path.index(folder) if folder in sys.path else len(sys.path))


def _folders_of_modules(modules: Sequence[str]) -> list[str]:
    """Where the packages of some modules are. Raises ConfigError for one that is nowhere."""
    found: list[str] = []
    for name in modules:
        folders = list(_folders_of(name.partition(".")[0]))
        if not folders:
            raise ConfigError(
                f"there is no module {name!r}",
                where="jmpc.processes(modules=...)",
                why="parties import it from where this process would, but not from its working directory",
                todo="install it, or import it here first",
            )
        found += folders
    return found


def _folders_of(name: str) -> Iterator[str]:
    """The folders that hold a package or module: where this process has it from, else where it would find it (but not
    in its working directory)."""
    module = sys.modules.get(name)
    spec = module.__spec__ if module else PathFinder.find_spec(name, _elsewhere())
    if spec is not None and spec.submodule_search_locations is not None:
        yield from (os.path.dirname(os.path.abspath(place)) for place in spec.submodule_search_locations)
    elif spec is not None and spec.origin is not None:
        yield os.path.dirname(os.path.abspath(spec.origin))


def _elsewhere() -> list[str]:
    try:
        here = os.getcwd()
    except FileNotFoundError:  # The folder is gone.
        here = ""
    return [entry for entry in sys.path if os.path.isabs(entry) and entry != here]


Start = Callable[[], subprocess.Popen[bytes]]


class _Launcher:
    """The thread that starts all processes. A process asks the kernel to be killed with its parent, and takes the
    thread that forked it for that; this one lives as long as we do, whichever thread calls."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[tuple[Start, Future[subprocess.Popen[bytes]]]] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="jmpc launcher", daemon=True).start()

    def __call__(self, start: Start) -> subprocess.Popen[bytes]:
        started: Future[subprocess.Popen[bytes]] = Future()
        self._calls.put((start, started))
        return started.result()

    def _serve(self) -> None:
        while True:
            start, started = self._calls.get()
            try:
                started.set_result(start())
            except BaseException as exc:
                started.set_exception(exc)
            del start, started  # A process belongs to who asked for it, and to nobody else.


_lock = threading.Lock()
_launcher: _Launcher | None = None


def _by_the_launcher(start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    global _launcher
    with _lock:
        _launcher = _launcher or _Launcher()
    return _launcher(start)


def _forked() -> None:
    """A fork of this process has no thread but its own."""
    global _lock, _launcher
    _lock, _launcher = threading.Lock(), None


os.register_at_fork(after_in_child=_forked)
