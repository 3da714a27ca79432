"""What can go wrong between parties, done on purpose: fault plans, how they act, and how a run must end under them.

`plan.py` is the plans as data and as text, `strategies.py` draws them; `injection.py` does them to messages in memory,
`relay.py` to frames between processes; `expect.py` says what should follow. `jmpc/testing/faulty.py` has the parties.
"""
