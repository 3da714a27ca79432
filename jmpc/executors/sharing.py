"""Randomness for the ends of a program: words of which an owner's shares are made, keyed by the operating system."""

from __future__ import annotations

import os

import numpy as np

from jmpc.executors.masks import Stream


def fresh(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Words of a stream that nobody else has, and that is used for nothing else."""
    count = int(np.prod(shape, dtype=np.int64))
    words = -(-count * dtype.itemsize // 8)
    return Stream(os.urandom(16), words).words(0, words).view(dtype)[:count].reshape(shape)
