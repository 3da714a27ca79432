"""The steps of a random JAX function, by subject: each takes a `Maker` and adds an operation where one fits."""
