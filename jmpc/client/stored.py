"""`jmpc.stored`: a value that lies at a cluster, as an argument.

In: a name. Out: within `with cluster:` the value's tree of handles, elsewhere a `Stored`, which `cluster.run` takes for
it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jmpc import _typed, backends
from jmpc.client.backend import ClusterBackend, Through
from jmpc.errors import ArgumentError
from jmpc.handle import Closed


@dataclass(frozen=True, eq=False)
class Stored(Closed):
    """Stands for a stored value until it is known at which cluster. like: a template of its structure."""

    name: str
    like: Any = field(default=None, repr=False)

    def refusal(self) -> ArgumentError:
        return ArgumentError(
            f"it is not said at which cluster {self.name!r} is stored",
            where=f"jmpc.stored({self.name!r})",
            why="it was called outside of a block, and no cluster has the call that it is an argument of",
            todo=[
                "call it within the block: with cluster: function(jmpc.stored(NAME), ...)",
                "or have the cluster make the call: cluster.run(function, jmpc.stored(NAME), ...)",
            ],
        )


def stored(name: str, like: Any = None) -> Any:
    """A value that is stored at a cluster: an argument of a secure function, which is written as for any arrays. In a
    block `with cluster:` it is the value's tree of `SecretArray`s; outside it stands for it in `cluster.run` and
    `cluster.submit`. No share comes here.

    like: a value of the same structure, where that has nodes other than dicts, lists, tuples and None. Raises
    NotStoredError, and ArgumentError where the template does not fit.
    """
    backend = backends.chosen()
    return backend.stored(name, like) if isinstance(backend, ClusterBackend | Through) else Stored(name, like)


def found(tree: Any, look: Callable[[str, Any], Any]) -> Any:
    """The tree with each `Stored` as `look` finds it, by name and template."""
    leaves, structure = _typed.flatten(tree)
    if not any(isinstance(leaf, Stored) for leaf in leaves):
        return tree
    looked = [look(leaf.name, leaf.like) if isinstance(leaf, Stored) else leaf for leaf in leaves]
    return _typed.unflatten(structure, looked)
