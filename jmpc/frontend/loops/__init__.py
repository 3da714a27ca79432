"""What loops carry, and loops with a bound."""
