"""What every channel and every executor must do, so that one that was written elsewhere can prove itself.

`channels.py` has the rules of channels, `executors.py` those of executors, `rules.py` how a set of rules is run.
"""
