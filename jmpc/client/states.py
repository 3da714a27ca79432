"""What each party of a cluster says of itself to a client, also where another cannot be reached.

In: the roster, the client's identity. Out: for each party its state, or why there is none.
"""

from __future__ import annotations

import json
import time
from typing import Any, cast

from jmpc.client.asking import named
from jmpc.client.links import Dialler
from jmpc.cluster import Identity, Roster
from jmpc.errors import JMPCError
from jmpc.runtime.control import ControlLink
from jmpc.runtime.failure import Place, foreign, from_record

State = dict[str, Any]


def states(roster: Roster, identity: Identity, patience_s: float) -> list[State | JMPCError]:
    """By party. patience_s: for each, from the first packet to its greeting, and again for its state."""
    found: list[State | JMPCError] = []
    for party, link in enumerate(Dialler(roster, identity, patience_s).each()):
        if isinstance(link, ControlLink):
            found.append(_asked(link, party, patience_s))
        elif isinstance(link, JMPCError):
            found.append(link)
        else:
            raise link
    return found


def _asked(link: ControlLink, party: int, patience_s: float) -> State | JMPCError:
    deadline = time.monotonic() + patience_s
    try:
        with foreign(Place(phase="status", peer=link.peer)):
            link.send("status", {}, deadline)
            kind, fields = link.receive(("state", "failed"), deadline)
        return named(from_record(fields, party), link.peer) if kind == "failed" else said_of(fields["text"])
    except JMPCError as error:
        return error
    finally:
        link.close()


def said_of(text: str) -> State:
    """What a party says, as it says it where that is no object of JSON."""
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    return cast(State, found) if isinstance(found, dict) else {"text": text}
