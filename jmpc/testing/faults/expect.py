"""What a run under faults should end in: `aborts` with an error that tells what happened, and `recovers` afterwards.

What goes in: a block that runs, and the faults at work on it. What comes out: the error, or an AssertionError where
the run ended in a result, in another error, or in one that names another place. Not here: making faults (`faulty.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from jmpc.errors import FrameError, PartyError
from jmpc.testing.faults.injection import Acted, Injection
from jmpc.testing.faults.plan import ENDS, KILL

Args = ParamSpec("Args")
Result = TypeVar("Result")


@dataclass
class Aborted:
    """How a block ended: `error` is there once it has."""

    error: PartyError | None = None


@contextmanager
def aborts(
    *kinds: type[PartyError],
    party: int | None = None,
    peer: int | None = None,
    round_no: int | None = None,
    under: Injection | None = None,
) -> Generator[Aborted]:
    """The block must end in a PartyError that names a party and a round (or the handshake).

    kinds: the errors that are right; any PartyError by default. party: who must have raised it; peer: whom it must
    blame; round_no: in which round. under: faults at work; the error must be one that they explain.
    """
    found = Aborted()
    try:
        yield found
    except PartyError as error:
        found.error = error
        wrong = _misses(error, kinds, party, peer, round_no) or (under and unexplained(error, under.acted)) or ""
        if wrong:
            raise AssertionError(f"the run aborted, but {wrong}\n{type(error).__name__}: {error}") from error
    else:
        faults = f" ({', '.join(map(str, under.acted)) or under.unmet() or 'no fault met a message'})" if under else ""
        raise AssertionError(f"the run ended without an error{faults}")


def recovers(call: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
    """The next run after a failure: its result. Raises AssertionError where it aborts.

    One abort is right: a message that was repeated after the last one of its run waits in the connection, and the next
    run refuses it, as one of another session. The run after that must work.
    """
    try:
        return call(*args, **kwargs)
    except FrameError as error:
        if not _of_another_session(error):
            raise AssertionError(f"the next run aborted\n{error}") from error
    except PartyError as error:
        raise AssertionError(f"the next run aborted\n{error}") from error
    try:
        return call(*args, **kwargs)
    except PartyError as error:
        raise AssertionError(f"the run after the next one aborted\n{error}") from error


def _of_another_session(error: PartyError) -> bool:
    """Whether what was refused came of a run before."""
    return isinstance(error, FrameError) and "session" in error.what


def unexplained(error: PartyError, acted: Sequence[Acted]) -> str:
    """Why none of the faults that acted explains an error; empty where one does."""
    reasons = [_why_not(error, one) for one in acted]
    if not reasons:
        return "no fault met a message"
    return "" if "" in reasons else "; ".join(reasons)


def _why_not(error: PartyError, acted: Acted) -> str:
    """Why this fault does not explain the error.

    A message that is refused, or waited for, is the receiver's to name, in the round in which it expected it. Who
    waited for a message that came late or never may also be a party that the first one kept waiting in turn.
    """
    fault = acted.fault
    if not isinstance(error, ENDS[fault.kind]):
        return f"{fault} does not end in {type(error).__name__}"
    ends = (error.party, error.peer)
    if fault.kind == KILL:
        return "" if fault.sender in ends else f"{fault} is the loss of party {fault.sender}"
    receiver, sender = (fault.receiver, fault.sender), (fault.sender, fault.receiver)
    both = fault.kind == "close" or (fault.kind == "reflect" and isinstance(error, FrameError))
    if isinstance(error, FrameError) and not both and ends != receiver:
        return f"{fault} is for party {fault.receiver} to name"
    if both and ends not in (receiver, sender):
        return f"{fault} is for its two ends to name"
    return _why_not_then(error, acted)


def _why_not_then(error: PartyError, acted: Acted) -> str:
    """Why the round of the error is not one in which this fault is seen."""
    kind = acted.fault.kind
    exact = isinstance(error, FrameError) and kind not in ("repeat", "reflect")
    if kind == "repeat" and _of_another_session(error):
        return ""
    if error.round is None:
        return f"{acted.fault} happens in a round"
    if error.round < acted.round_no - (kind == "close"):
        return f"{acted} cannot be seen before"
    if error.round > acted.round_no and exact:
        return f"{acted} is seen in that round"
    return ""


def _misses(
    error: PartyError, kinds: Sequence[type[PartyError]], party: int | None, peer: int | None, round_no: int | None
) -> str:
    if kinds and not isinstance(error, tuple(kinds)):
        return f"not with {' or '.join(kind.__name__ for kind in kinds)}"
    if error.party is None and error.peer is None:
        return "the error names no party"
    if error.round is None and error.phase == "run":
        return "the error names no round"
    wanted = [("party", party, error.party), ("peer", peer, error.peer), ("round", round_no, error.round)]
    wrong = [f"{name} {got}, not {want}" for name, want, got in wanted if want is not None and want != got]
    return f"the error names {', '.join(wrong)}" if wrong else ""
