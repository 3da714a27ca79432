"""Functions along an axis of an array."""
