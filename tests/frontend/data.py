"""Small arrays that the tests of the front end share: negative, zero and equal elements are among them."""

from __future__ import annotations

import numpy as np

RNG = np.random.default_rng(3)
X = RNG.normal(size=(3, 4)).astype(np.float32)
Y = RNG.normal(size=(3, 4)).astype(np.float32)
Y[1] = X[1]
W = (RNG.normal(size=(4, 4)) * 0.4).astype(np.float32)
I = RNG.integers(-9, 9, (3, 4)).astype(np.int32)
B, C = X > 0, np.arange(12).reshape(3, 4) % 3 == 0
TIES = np.array([[1, 3, 3, 0], [2, 2, 2, 2], [-1, -5, -1, 0]], np.float32)
IMAGE = RNG.normal(size=(2, 6, 6, 3)).astype(np.float32)
EMPTY = np.zeros((0, 3), np.float32)
