"""`python -m jmpc` is `jmpc`."""

from __future__ import annotations

from jmpc.command.main import main

if __name__ == "__main__":
    main()
