"""One script that each organisation runs: a laboratory's wines, sorted by a classifier that it never sees.

    python -m jmpc_examples.predict                                         # whole, here, to try it
    jmpc run jmpc_examples/predict.py --as model-owner --cluster CLUSTER    # at one organisation
    jmpc run jmpc_examples/predict.py --as laboratory --cluster CLUSTER     # at the other

The model's owner trains on its own wines, in the clear; the laboratory measures its own: what each loads, it loads
alone. The laboratory learns which of three cultivars each of its wines is, and nobody learns anything else.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
from mlxtend.data import wine_data

import jmpc
from jmpc.handle import Elsewhere

Array = np.ndarray
Model = dict[str, Array]
CULTIVARS = 3


@jmpc.secure(inputs={"model": "model-owner", "wines": "laboratory"}, outputs="laboratory")
def cultivar(model: Model, wines: Array) -> jax.Array:
    """Which of the cultivars each row of measurements is."""
    scaled = (wines - model["mean"]) * model["scale"]
    return jnp.argmax(scaled @ model["weights"] + model["bias"], axis=1)


def train() -> Model:
    """A softmax regression on the model owner's half of the wines, in the clear."""
    wines, labels = _wines(0)
    mean, scale = wines.mean(0), 1 / wines.std(0)
    scaled = (wines - mean) * scale

    def loss(params: dict[str, jax.Array]) -> jax.Array:
        logits = scaled @ params["weights"] + params["bias"]
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    slope = jax.jit(jax.grad(loss))
    params = {"weights": jnp.zeros((wines.shape[1], CULTIVARS)), "bias": jnp.zeros(CULTIVARS)}
    for _ in range(100):
        params = jax.tree.map(lambda p, g: p - g, params, slope(params))
    return {"mean": mean, "scale": scale, **{name: np.asarray(p) for name, p in params.items()}}


def measure() -> Array:
    """Thirteen measurements of each of the laboratory's wines."""
    return _wines(1)[0]


def _wines(half: int) -> tuple[Array, Array]:
    """Measurements and cultivars of every second wine."""
    measured, labels = wine_data()
    return measured[half::2].astype(np.float32), labels[half::2].astype(np.int32)


def main() -> None:
    model = jmpc.from_owner("model-owner", train)
    wines = jmpc.from_owner("laboratory", measure)
    found = cultivar(model, wines)
    if isinstance(found, Elsewhere):
        print(f"the laboratory has its answer; here there is {found!r}")
        return
    right = int((np.asarray(found) == _wines(1)[1]).sum())
    print(f"cultivars {np.bincount(found, minlength=CULTIVARS).tolist()}; {right} of {len(found)} right")


if __name__ == "__main__":
    main()
