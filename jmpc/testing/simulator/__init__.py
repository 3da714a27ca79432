"""Party programs run in lock step, in NumPy, without XLA: one run or thousands, on shares made here.

`lockstep.py` walks the programs, `numpy_rules.py` computes one equation, `batch.py` does so for many runs at once,
`shares.py` makes shares and takes them apart, `protocol_run.py` runs one protocol by itself.
"""
