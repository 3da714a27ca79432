"""The process of a party's other host, once it is confined (`party_boot.py`): it computes its part of what the head
runs.

In: its command line, with the path of `party.toml` and which host it is. Out: an exit code. 0: its head stopped, or it
was told to stop itself.  1: something is wrong that starting again does not help; the log says what.  3: its head did
not come, or was lost: start it again.  134: the same, where JAX noticed it first, and ended the process.  128 and a
signal's number: it was told to stop twice. It reads no key and opens no store.
"""

from __future__ import annotations

import dataclasses
import os
import queue
import threading
import time
from collections.abc import Sequence
from typing import NoReturn

from jmpc.daemon import checks, foreign, meeting, notify, process, signals
from jmpc.daemon.logs import Logs
from jmpc.daemon.notify import Notify
from jmpc.daemon.process import FAILED, FLUSH_S, OK, REFUSED
from jmpc.daemon.settings import Settings
from jmpc.daemon.signals import Word
from jmpc.errors import ConfigError
from jmpc.executors.host_order import HostOrder


def main(arguments: Sequence[str]) -> NoReturn:
    """Follow until the head stops. It does not return: what JAX still waits for ends with the process."""
    signals.block()
    parser = process.parser("follow")
    parser.add_argument("--index", type=int, required=True)
    options = parser.parse_args(arguments)
    calls, faults = process.confined(options)
    found = checks.look_at_host(options.config, options.index, allow_root=options.allow_root, code=False)
    logs, code = process.logs_of(found), REFUSED
    sound = process.say_faults(logs, options, calls, [*faults, *found.wrong])
    if sound and found.settings and found.settings.hosts:
        order = dataclasses.replace(found.settings.hosts, index=options.index)
        code = Following(found.settings, order, logs, Notify(options.notify)).run()
    logs.flush(FLUSH_S)
    os._exit(code)


class Following:
    """Everything around the follower: it works in a thread of its own, so that it can be told to stop."""

    def __init__(self, settings: Settings, order: HostOrder, logs: Logs, notify: Notify) -> None:
        self._settings, self._order, self._logs, self._notify = settings, order, logs, notify
        self._code = FAILED

    def run(self) -> int:
        """Until the head stops or is lost, or this process is told to stop and the head goes on."""
        foreign.tell(self._logs)
        words: queue.SimpleQueue[Word] = queue.SimpleQueue()
        signals.Signals(self._told, words)
        threading.Thread(target=self._follow, args=(words,), name="jmpc follow", daemon=True).start()
        until: float | None = None
        while True:
            try:
                word = words.get(timeout=until and max(0.0, until - time.monotonic()))
            except queue.Empty:
                return OK
            if word is Word.ENDED:
                return OK if until else self._code
            if word is Word.STOP:
                self._notify(notify.STOPPING)
                until = time.monotonic() + self._settings.grace_s

    def _follow(self, words: queue.SimpleQueue[Word]) -> None:
        try:
            hosts = meeting.meet(self._order, self._logs, lambda error: None)
            from jmpc.daemon import devices
            from jmpc.executors.hosted import Follower

            follower = Follower(hosts, devices.placement(self._settings, joined=True))
            self._notify(notify.READY)
            follower.follow()
            self._logs.event("head stopped", host=self._order.index)
            self._code = OK
        except Exception as exc:
            foreign.tell_fault(self._logs, type(exc), exc, exc.__traceback__)
            self._code = REFUSED if isinstance(exc, ConfigError) else FAILED
        finally:
            words.put(Word.ENDED)

    def _told(self, name: str, again: bool) -> None:
        self._logs.event("stopped at once" if again else "told to stop", signal=name)
        if again:
            self._logs.flush(FLUSH_S)
