"""Names for what programs compute on, for annotations.

What comes out: `Array`, an array of JAX or what stands for one while JAX traces; `Pair`, what a party holds of a secret
in replicated sharing. Not here: forms and element types of secrets (`ir/types.py`).
"""

from __future__ import annotations

import jax

Array = jax.Array
Pair = tuple[Array, Array]
