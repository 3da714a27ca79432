"""Is a protocol private? Three levels, from enumeration of a tiny ring to a proof by one-time pads.

`exact.py`, `statistical.py` and `structural.py` are the levels, `everywhere.py` runs the last two at many sizes and
ring widths, `report.py` says what was found. The other files are what the levels are made of.
"""
