"""What a client and a party say to each other, over a TLS link that serves one request at a time.

In: the kind of a message, and its fields. Out: what `messages.py` checks them by. A client opens a link to each party,
says `hello` and gets one, then asks; each request has one answer, or `failed`, or the link ends. What a client sends to
one party it sends to all, each its own pieces. This file reads no socket.

    hello                 -> hello         `roster`: `Roster.parties_hash`
    load + text           -> loaded        a program's text; `allowed`: this party runs it for this client, else `why`
    join + arrays         -> progress*, then done + arrays
    put                   -> writing       `written`: bytes that are there of each part: it may be the second try
      chunk + bytes       -> (nothing)
    commit                -> stored
    values                -> listed        by name, those after one: as many as a page has, and whether more follow
    describe, delete, amend, fetch, status
    post                  -> posted        for other clients to see, as long as this link stands
    look                  -> seen          what a client has posted under a label, once it has

A job. Clients that `join` with the same label and program compute together, once all its inputs are there: each input
of an owner is sent by that owner, inputs of the caller by the one who joined (then it joins alone), and public inputs
by everybody, the same. A program's inputs that are shared already are named in `stored`, by every client the same: each
by the version that the client knows, so that none is taken for one that replaced it; 0 is whichever is there. Results
go to the receivers that joined; for one that did not, `leave` stores what it will fetch. Results that stay shared are
stored as `keep` says. The arrays after `join` are this party's pieces of the inputs in `sent`, in order, but for those
that it draws from one of the `keys`: their shapes follow from the program, so the message says only how many bytes they
are, for a party that refuses and has to pass over them. What is wrong with a chunk is told by the answer to `commit`.
"""

from __future__ import annotations

from jmpc.ring.keys import MASK_KEY_BYTES
from jmpc.runtime.contents import MOST_CHARACTERS, MOST_LEAVES
from jmpc.runtime.messages import ARRAYS_BYTES, FAILURE, SESSION_BYTES, TEXT_BYTES, Vocabulary
from jmpc.runtime.schema import Check, binary, boolean, integer, many, number, row, text

PROTOCOL = 2
TICKET_BYTES = 16
UPLOAD_BYTES = 16
CHUNK_BYTES = 1 << 22  # the most in one `chunk`
NEVER, UNCHANGED = -1, -2  # in `expires`, besides seconds since 1970
MOST_CONSENTS = 1000  # of all owners of one value: everybody who lists the values is told them
PAGE_BYTES = 1 << 20  # the most in one `listed`, but for a value that alone is more
MOST_NUMBERS = 100_000
BOARD_CHARACTERS = 1 << 18
MOST_WAIT_S = 20  # of one `look`

_HASH = text(64, "[0-9a-f]{64}")
NAME_CHARACTERS = 200
_NAME = text(NAME_CHARACTERS, ".+")
_COUNT = integer(0, 2**62)
_NUMBER = integer(0, MOST_NUMBERS)
_EXPIRES = integer(UNCHANGED, 2**53)
_CONTENTS = text(MOST_CHARACTERS)
_PROGRAMS = many(_HASH, MOST_CONSENTS)
_VALUE: dict[str, Check] = {
    "name": _NAME,
    "owner": _NAME,
    "version": _COUNT,
    "created": _COUNT,
    "expires": _EXPIRES,
    "bytes": _COUNT,  # of this party's file
    "consents": many(row(_NAME, _HASH), MOST_CONSENTS),  # an owner, and a program that may read what it owns
    "receivers": many(_NAME, 1000),
}

REQUESTS = Vocabulary(
    {
        "hello": {"protocol": integer(0, 2**31), "version": text(64), "roster": _HASH, "party": integer(-1, 255)},
        "load": {"bytes": integer(0, TEXT_BYTES)},
        "loaded": {"program": _HASH, "allowed": boolean, "why": text(2000)},
        "join": {
            "label": _NAME,
            "ticket": binary(TICKET_BYTES),  # drawn for this one join
            "program": _HASH,
            "sent": many(_NUMBER, MOST_NUMBERS),  # inputs of the program
            # Of the summands that this party draws itself: a form, the number of the summand, a key.
            "keys": many(row(text(64), integer(0, 255), binary(MASK_KEY_BYTES)), 256),
            "bytes": integer(0, ARRAYS_BYTES),  # of the arrays that follow
            "stored": many(row(_NUMBER, _NAME, _NUMBER, _COUNT), MOST_NUMBERS),  # input, value, its array and version
            "keep": many(row(_NAME, _CONTENTS, many(_NUMBER, MOST_LEAVES), _EXPIRES), 1000),  # value, what, outputs
            "leave": many(row(_NAME, _CONTENTS, many(_NUMBER, MOST_LEAVES), _EXPIRES), 1000),
            "detached": boolean,  # it goes on if the client goes
        },
        "progress": {"rounds": _COUNT, "of": _COUNT, "waits": text(200)},  # waits: for what it has not begun, or ""
        "done": {
            "session": binary(SESSION_BYTES),
            "seconds": number,
            "rounds": _COUNT,
            "sent": _COUNT,
            "received": _COUNT,
            "version": _COUNT,  # of what was kept and left; 0 where nothing was
            "outputs": many(_NUMBER, MOST_NUMBERS),  # of the program; their arrays follow
        },
        "put": {
            "upload": binary(UPLOAD_BYTES),  # drawn for this one value; the same again after a link was lost
            "name": _NAME,
            "contents": _CONTENTS,
            "programs": _PROGRAMS,  # to which its owner consents from the start
            "expires": _EXPIRES,
        },
        "writing": {"written": many(_COUNT, MOST_NUMBERS)},
        # Not answered where it is taken. Where it is not, `failed` comes at once, for this chunk, all that follow and
        # the `commit` of this upload.
        "chunk": {"part": _NUMBER, "bytes": integer(1, CHUNK_BYTES)},
        "commit": {"upload": binary(UPLOAD_BYTES)},
        "stored": {"version": _COUNT},
        "values": {"after": text(200)},  # a name, or ""
        "listed": {"entries": many(row(*_VALUE.values()), 100_000), "more": boolean},
        "describe": {"name": _NAME},
        "described": {**_VALUE, "contents": _CONTENTS},
        "delete": {"name": _NAME},
        "deleted": {},
        "amend": {"name": _NAME, "allow": _PROGRAMS, "forbid": _PROGRAMS, "expires": _EXPIRES},
        "amended": {},
        "fetch": {"name": _NAME},
        "result": {**_VALUE, "contents": _CONTENTS},  # this party's summands of each array follow
        "status": {},
        "state": {"text": text(1 << 20)},  # JSON, for people
        "post": {"label": _NAME, "text": text(BOARD_CHARACTERS)},
        "posted": {},
        "look": {"label": _NAME, "owner": _NAME, "wait_s": integer(0, MOST_WAIT_S)},
        "seen": {"text": text(BOARD_CHARACTERS)},
        "failed": FAILURE,
    },
    most_bytes=1 << 24,
)
VALUE_FIELDS = tuple(_VALUE)
