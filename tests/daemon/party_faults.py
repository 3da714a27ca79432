"""What goes wrong at a party in mid-run, as the file FAULT says when a round begins: parties import it.

Its JSON: `party`, `round`, `how`. raise, wrong, round: it raises, sends arrays of another size, or runs ahead. kill,
stop: its process is killed, or stopped. hold: it makes the file FAULT.held.PARTY, and waits until FAULT is gone.
"""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import numpy as np

from jmpc.runtime.network import NetworkChannel

_exchange = NetworkChannel.exchange
_LOOK_S, _MOST_S = 0.01, 60.0
SECRET = 987654321  # in the text of an exception, where shares may be


def _faulty(self: NetworkChannel, round_no: int, sends: Any, receives: Any) -> Any:
    how = _how(self.party, round_no)
    if how == "raise":
        raise ValueError(f"secret value {SECRET}")
    if how == "wrong":
        sends = {peer: [np.zeros(a.size + 1, a.dtype) for a in arrays] for peer, arrays in sends.items()}
    if how == "round":
        round_no += 7
    if how in ("kill", "stop"):
        os.kill(os.getpid(), {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[how])
    if how == "hold":
        _hold(self.party)
    return _exchange(self, round_no, sends, receives)


def _how(party: int, round_no: int) -> str:
    try:
        with open(os.environ["FAULT"]) as file:
            said = json.load(file)
    except (FileNotFoundError, ValueError):
        return ""
    return said["how"] if round_no == said["round"] and said["party"] in (party, -1) else ""


def _hold(party: int) -> None:
    open(f"{os.environ['FAULT']}.held.{party}", "w").close()
    until = time.monotonic() + _MOST_S
    while os.path.exists(os.environ["FAULT"]) and time.monotonic() < until:
        time.sleep(_LOOK_S)


NetworkChannel.exchange = _faulty
