"""Value-level programs of a stated size: layers one after the other, and loops of a stated length."""

from __future__ import annotations

from jmpc.config import Config
from jmpc.ir.program import Program, Value
from jmpc.ir.types import secret_fixed
from jmpc.testing.draw.ir_programs import Maker, finish

CONFIG = Config()
LIMIT = (1 << 44) - 1
MATRIX = (((1,), (0,)), ((), ()))


def dense(maker: Maker, x: Value, w: Value) -> Value:
    wide = maker.emit("dot", x, w, dims=MATRIX)
    return maker.emit("relu", maker.emit("truncate", wide, bits=maker.config.f))


def network(layers: int) -> Program:
    """Equal layers: x of (3, 4), each w of (4, 4)."""
    shapes = [(3, 4)] + [(4, 4)] * layers
    maker = Maker(CONFIG, tuple(Value(secret_fixed(shape, CONFIG.f, LIMIT)) for shape in shapes))
    x, *weights = maker.params
    for w in weights:
        x = dense(maker, x, w)
    return finish(maker, [x], ["jmpc.SECRET"] * len(shapes))


def looped(trip: int, reverse: bool = False) -> Program:
    """One layer, `trip` times over, each time with its own w; a row of signs comes out of each."""
    x, w = secret_fixed((3, 4), CONFIG.f, LIMIT), secret_fixed((4, 4), CONFIG.f, LIMIT)
    body = Maker(CONFIG, (Value(x), Value(w)))
    after = dense(body, *body.params)
    block = body.block(after, body.emit("is_negative", body.emit("sub", after, body.params[0])))
    maker = Maker(CONFIG, (Value(x), Value(w.with_(shape=(trip, 4, 4)))))
    out = maker.emit_many("loop", *maker.params, body=block, consts=0, carry=1, trip=trip, reverse=reverse)
    return finish(maker, list(out), ["jmpc.SECRET"] * 2)
