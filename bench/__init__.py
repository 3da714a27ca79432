"""Benchmarks of jmpc beside SPU: `python -m bench`, explained in bench/README.md.

This file imports nothing: the SPU side reads this package from another virtual environment.
"""
