"""What a session stores: written before the other parties are done, and seen by nobody until they are.

In: a job and its outcome. Out: staged values, which last or go together.
"""

from __future__ import annotations

from contextlib import suppress

from jmpc.errors import StoreError
from jmpc.runtime.contents import part_name
from jmpc.service.job import Job, Keeping
from jmpc.service.session import Outcome
from jmpc.service.values import Values
from jmpc.store import WriterOf


class Kept:
    """One for a session that keeps something."""

    def __init__(self, values: Values, job: Job, outcome: Outcome) -> None:
        self._values, self._clients = values, job.clients
        self._writers: list[WriterOf] = []
        try:
            for keeping in (*job.kept, *job.left):
                self._writers.append(_written(values, job, outcome, keeping))
        except BaseException:
            self.abort()
            raise

    def commit(self) -> None:
        """Make them last. All parties have said that they are done; a crash between two parties' commits leaves a value
        that one of them lacks, and takes back from the others."""
        for writer in self._writers:
            self._values.commit(writer, self._clients)

    def abort(self) -> None:
        """Nothing of them stays, but what was committed."""
        for writer in self._writers:
            with suppress(StoreError):
                writer.abort()


def _written(values: Values, job: Job, outcome: Outcome, keeping: Keeping) -> WriterOf:
    contents = job.stored_as(keeping)
    description = values.described(
        keeping.name,
        contents,
        job.clients[0],
        receivers=job.receivers_of(keeping),
        expires=keeping.expires,
        version=outcome.version,
        created=outcome.created,
    )
    writer = values.writer(description, contents)
    try:
        for leaf, number in enumerate(keeping.outputs):
            for n, array in enumerate(outcome.outputs[number]):
                writer.write(part_name(leaf, n), array)
        writer.prepare()
    except BaseException:
        writer.abort()
        raise
    return writer
