"""Names for what programs compute on, for annotations.

What comes out: `Array`, an array of JAX or what stands for one while JAX traces; `AnyArray`, one of those or of NumPy,
where host code and traced code are the same; `Pair`, what a party holds of a secret in replicated sharing. What is the
host's alone says `np.ndarray`. Not here: forms and element types of secrets (`ir/types.py`).
"""

from __future__ import annotations

import jax
import numpy as np

Array = jax.Array
AnyArray = Array | np.ndarray
Pair = tuple[Array, Array]
