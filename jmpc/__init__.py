"""jmpc: secure multi-party computation for JAX.

    @jmpc.secure(inputs={"params": "model-owner", "x": "prediction-client"}, outputs="prediction-client")
    def predict(params, x): ...

Names are loaded when they are first used, so that a party process never loads the compiler.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "secure": "jmpc.api",
    "SECRET": "jmpc.api",
    "SecretArray": "jmpc.handle",
    "Secured": "jmpc.api",
    "Cluster": "jmpc.client.cluster",
    "Config": "jmpc.config",
    "connect": "jmpc.client.cluster",
    "from_owner": "jmpc.client.script",
    "stored": "jmpc.client.stored",
    "local": "jmpc.backends",
    "mesh": "jmpc.backends",
    "processes": "jmpc.client.processes",
    "require": "jmpc.backends",
    "use": "jmpc.backends",
    "RunStats": "jmpc.backends",
    "bounded": "jmpc.frontend.words",
    "bounded_while": "jmpc.frontend.loops.bounded_while",
    "public": "jmpc.frontend.words",
    "errors": "jmpc.errors",
    "extend": "jmpc.extend",
    "random": "jmpc.random",
    "JMPCError": "jmpc.errors",
    "JMPCWarning": "jmpc.errors",
}
__all__ = [
    "SECRET",
    "Cluster",
    "Config",
    "JMPCError",
    "JMPCWarning",
    "RunStats",
    "SecretArray",
    "Secured",
    "bounded",
    "bounded_while",
    "connect",
    "errors",
    "extend",
    "from_owner",
    "local",
    "mesh",
    "processes",
    "public",
    "random",
    "require",
    "secure",
    "stored",
    "use",
]

if TYPE_CHECKING:
    from jmpc import errors, extend, random
    from jmpc.api import SECRET, Secured, secure
    from jmpc.backends import RunStats, local, mesh, require, use
    from jmpc.client.cluster import Cluster, connect
    from jmpc.client.processes import processes
    from jmpc.client.script import from_owner
    from jmpc.client.stored import stored
    from jmpc.config import Config
    from jmpc.errors import JMPCError, JMPCWarning
    from jmpc.frontend.loops.bounded_while import bounded_while
    from jmpc.frontend.words import bounded, public
    from jmpc.handle import SecretArray


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'jmpc' has no attribute {name!r}")
    module = import_module(_HOMES[name])
    value = module if _HOMES[name] == f"jmpc.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
