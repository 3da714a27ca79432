"""Fits of Fourier sums, and what error they may have."""
