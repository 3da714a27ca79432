"""Check mode (`Config(check=True)`): the program that ships, compared with plain JAX on the same arguments.

`plain.py` computes what every operation and every result should be; `verify.py` compares, and finds what is at fault;
`advice.py` says what would help, in numbers.
"""
