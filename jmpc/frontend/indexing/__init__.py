"""Indices that are secret: one-hot rows, and products that pick with them."""
