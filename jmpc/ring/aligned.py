"""Host memory that XLA:CPU reads without a copy: it starts on a cache line."""

from __future__ import annotations

import numpy as np

ALIGN_BYTES = 64


def aligned(words: int) -> np.ndarray:
    """Uninitialised words of 64 bits."""
    raw = np.empty(words * 8 + ALIGN_BYTES, np.uint8)
    start = -raw.ctypes.data % ALIGN_BYTES
    return raw[start : start + words * 8].view(np.uint64)


def aligned_array(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An uninitialised array."""
    count = int(np.prod(shape, dtype=np.int64))
    return aligned(-(-count * dtype.itemsize // 8)).view(dtype)[:count].reshape(shape)
