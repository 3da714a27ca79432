"""The command line, `jmpc` or `python -m jmpc`. Nothing of the library imports it."""
