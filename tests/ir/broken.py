"""Programs that break one rule of the verifier each, by rule; and the legal programs that they start from.

`BROKEN` has those that text can say; `BUILT` has those that the parser would refuse before the verifier.
"""

from __future__ import annotations

import numpy as np

from jmpc.config import Config
from jmpc.ir.program import Block, Input, Op, Output, Program, Value
from jmpc.ir.text import parse_program
from jmpc.ir.types import INT, PLAIN, PUBLIC, Type, secret_fixed

A = "secret fixed<18>[4] arith max 2^44-1 assumed"
P = "secret fixed<36>[4] sum3 max 2^62-1 assumed"
S = "secret fixed<18>[4] split max 2^44-1 assumed"
B = "secret bool[4] bits"
N = "secret int[4] arith"
PRELUDE = f"""\
program p
config k=64 f=18 protocol="aby3" network="lan" failure_bits=40 error=0.0001 prf="aes"
input %0 "x" from "alice" : local("alice") fixed<18>[4] plain max 2^44-1 assumed
input %1 "y" from "bob" : local("bob") fixed<18>[4] plain max 2^44-1 assumed
input %2 "n" : public int[] plain max 3 declared
input %3 "b" from "alice" : local("alice") bool[4] plain
%10 = share %0 : {A}
%11 = share %1 : {A}
%12 = share %3 : {B}
%13 = share %2 : secret int[] arith max 3 declared
"""
OUTPUT = 'output %10 "[0]" to "carol" float32\n'
SUM3 = f"%20 = mul_sum3 %10, %11 : {P}"
SPLIT = f"%21 = split %10 : {S}"
M, MN = "secret bool[4] mask", "secret int[4] mask"
DABIT = f"%22, %23 = dabit {{shape=(4,)}} : {M}, {MN}"
DABIT2 = f"%24, %25 = dabit {{shape=(4,)}} : {M}, {MN}"
M0, MN0 = "secret bool[] mask", "secret int[] mask"
STACK = "secret int[2,4] places max 3 inferred"
R = "secret int[4] places max 3 inferred"
RANK = f"%26 = pair_rank %21 {{blocks=(4,), widths=(45,)}} : {R}"
BITS64 = "%27 = bit_words %21 {block=4, width=45} : secret bool[64,4] bits"
RADIX = f"%28 = radix_rank %27 {{digit=3, turned=(44,), width=45}} : {R}"


def program(*lines: str) -> Program:
    return parse_program(PRELUDE + "\n".join([*lines, ""]) + OUTPUT)


def loop(
    attrs: str, body: str, results: str, operands: str = "%10", params: str = f"%30 : {A}", result: str = A
) -> str:
    return f"%40 = loop {operands} {{{attrs}, body=block({params}) {{\n{body}  return {results}\n}}}} : {result}"


NEG = f"  %31 = neg %30 : {A}\n"

GOOD: dict[str, tuple[str, ...]] = {
    "value": (
        f"%20 = sub %10, %11 : {A}",
        f"%21 = is_negative %20 {{drop=5, width=40}} : {B}",
        f"%22 = or %21, %12 : {B}",
        f"%23 = select_or_zero %22, %10 : {A}",
        f"%24 = dynamic_slice %23, %2 {{sizes=(4,)}} : {A}",
        f"%25 = rank %12, %10 : {R}",
        f"%26 = permute %25, %10 : {A}",
        loop("carry=1, consts=0, trip=2", NEG, "%31"),
    ),
    "share": (
        SUM3,
        SPLIT,
        DABIT,
        f"%30 = msb %21 {{block=4, drop=0, width=45}} : {B}",
        f"%31 = inject_dabit %30, %22, %23, %10 : {A}",
        f"%32 = bit_to_arith_dabit %30, %22, %23 : {N}",
        f"%33 = and %30, %12 : {B}",
        f"%34 = inject %33, %10 : {A}",
        f"%35 = open_split %20 : {P.replace('sum3', 'split')}",
        f"%36 = truncate_wrap %35 {{bits=18}} : {A}",
        RANK,
        f"%37 = permute %26, %12 : {B}",
        BITS64,
        RADIX,
        f"%38 = permute %28, %10 : {A}",
    ),
}

# rule -> programs that break it, each the lines between inputs and output, with their stage
BROKEN: dict[str, list[tuple[str, tuple[str, ...]]]] = {
    "op": [
        ("value", (f"%20 = frobnicate %10 : {A}",)),
        ("value", (SPLIT,)),
        ("share", (f"%20 = relu %10 : {A}",)),
    ],
    "arity": [
        ("value", (f"%20 = neg %10, %11 : {A}",)),
        ("value", (f"%20 = add %10 : {A}",)),
        ("value", (f"%20 = concat {{axis=0}} : {A}",)),
        ("share", (DABIT, f"%30 = inject_dabit %12, %22, %23 : {A}")),
        ("share", (f"%30 = pair_rank {{blocks=(), widths=()}} : {R}",)),
    ],
    "attributes": [
        ("value", (f"%20 = neg %10 {{more=1}} : {A}",)),
        ("value", (f"%20 = rev %10 : {A}",)),
        ("value", (f"%20 = rev %10 {{axes=(1,)}} : {A}",)),
        ("value", (f"%20 = rev %10 {{axes=(-1,)}} : {A}",)),
        ("value", (f"%20 = rev %10 {{axes=(0,0)}} : {A}",)),
        ("value", (f"%20 = truncate %10 {{bits=0}} : {A}",)),
        ("value", (f"%20 = truncate %10 {{bits=true}} : {A}",)),
        ("value", (f"%20 = scale_up %10 {{bits=63}} : {A}",)),
        ("value", (f"%20 = scale_up %10 {{bits=2^200}} : {A}",)),
        ("value", (f"%20 = bound %10 {{limit=-1}} : {A}",)),
        ("value", (f'%20 = bound %10 {{limit=3, origin="guessed"}} : {A}',)),
        ("value", (f"%20 = is_negative %10 {{width=65}} : {B}",)),
        ("value", ('%20 = const {kind="int", scale=0, shape=(), value=2^64} : public int[] plain max 2^63 inferred',)),
        ("value", ('%20 = const {kind="real", scale=0, shape=(), value=1} : public int[] plain',)),
        ("value", (f"%20 = cumsum %10 {{axis=0, reverse=1}} : {A}",)),
        ("value", (f"%20 = dot %10, %11 {{dims=((0,),(0,))}} : {A}",)),
        ("value", (f'%20 = neg %10 {{body=block(%30 : {A}) {{\n  return %30\n}}}} : {A}',)),
        ("value", (loop("carry=1, consts=0, trip=-1", NEG, "%31"),)),
        ("value", (loop("carry=1, consts=0, trip=1.5", NEG, "%31"),)),
        ("value", (f"%20 = loop %10 {{carry=1, consts=0, trip=2, body=3}} : {A}",)),
        ("value", (f"%20 = reshape %10 {{shape=(5,)}} : {A.replace('[4]', '[5]')}",)),
        ("value", (f"%20 = broadcast %10 {{dims=(), shape=(4,)}} : {A}",)),
        ("share", ("%20, %21 = dabit {shape=(-4,)} : " + f"{B}, {N}",)),
        ("share", (SPLIT, f"%30 = msb %21 {{drop=0, width=45}} : {B}")),
        ("share", (SPLIT, f"%30 = msb %21 {{block=4, width=45}} : {B}")),
        ("share", (SPLIT, f"%30 = zero_test %21 {{block=4}} : {B}")),
        ("share", (SPLIT, RANK.replace("(45,)", "(45,1)"))),
        ("share", (SPLIT, RANK.replace("(45,)", "(65,)"))),
        ("share", (SPLIT, RANK.replace("(4,)", "(0,)"))),
    ],
    "type": [
        ("value", ("%20 = neg %10 : secret fixed<18>[4] plain max 2^44-1 assumed",)),
        ("value", ("%20 = not %12 : secret bool[4] arith",)),
        ("value", ("%20 = neg %2 : public int[] arith max 3 declared",)),
        ("value", ('%20 = neg %2 : public("alice") int[] plain max 3 declared',)),
        ("value", ("%20 = neg %0 : local fixed<18>[4] plain max 2^44-1 assumed",)),
        ("value", (f"%20 = mul %10, %11 : {P}",)),
        ("value", (f"%20 = broadcast %10 {{dims=(0,), shape=(2^30,2^30)}} : {A.replace('[4]', '[2^30,2^30]')}",)),
    ],
    "scale": [
        ("value", (f"%20 = scale_up %10 {{bits=45}} : {A.replace('<18>', '<63>')}",)),
        ("value", ("%20 = neg %13 : secret int<3>[] arith max 3 declared",)),
    ],
    "bound": [
        ("value", (f"%20 = neg %10 : {A.replace('2^44-1', '2^62')}",)),
    ],
    "kind": [
        ("value", (f"%20 = mul %12, %10 : {A}",)),
        ("value", (f"%20 = add %12, %12 : {B}",)),
        ("value", (f"%20 = not %10 : {A}",)),
        ("value", ("%20 = floor %13 : secret int[] arith max 4 declared",)),
        ("value", ('%20 = const {kind="fixed", scale=0, shape=(), value=1} : public fixed<0>[] plain',
                   f"%21 = dynamic_slice %10, %20 {{sizes=(4,)}} : {A}")),
    ],
    "index": [
        ("value", (f"%20 = dynamic_slice %10, %13 {{sizes=(4,)}} : {A}",)),
        ("value", (f"%20 = dynamic_update %10, %11, %13 : {A}",)),
        ("share", ("%20 = reshape %13 {shape=(1,1)} : secret int[1,1] arith max 3 declared",
                   f'%21 = gather %10, %20 {{dims=((),(0,),(0,),(),()), mode="clip", sizes=(1,)}} : {A}')),
    ],
    "form": [
        ("share", (f"%20 = msb %10 {{block=4, drop=0, width=45}} : {B}",)),
        ("share", (f"%20 = reshare %10 : {A}",)),
        ("share", (SUM3, f"%21 = split %20 : {P.replace('sum3', 'split')}")),
        ("share", (SUM3, f"%21 = inject %12, %20 : {P}")),
        ("share", (SPLIT, f"%20 = mul_sum3 %21, %10 : {P}")),
        ("share", (f"%20 = to_sum3 %10 : {A.replace('arith', 'sum3')}", f"%21 = add %20, %11 : {A}")),
        ("share", (f"%20 = share %10 : {A}",)),
        ("value", ("%20 = relu %2 : secret int[] arith max 3 declared",)),
    ],
    "local": [
        ("value", ('%20 = mul %0, %0 : local("alice") fixed<36>[4] plain max 2^62-1 assumed',)),
        ("value", ('%20 = not %3 : local("alice") bool[4] plain',)),
        ("value", ('%20 = add %0, %1 : local("alice") fixed<18>[4] plain max 2^44-1 assumed',)),
        ("value", (f"%20 = add %0, %11 : {A}",)),
        ("value", (f"%20 = select_or_zero %12, %0 : {A}",)),
    ],
    "product": [
        ("share", (f"%20 = mul %10, %11 : {P.replace('sum3', 'arith')}",)),
        ("share", ("%20 = dot %10, %11 {dims=(((0,),(0,)),((),()))} : secret fixed<36>[] arith max 2^62-1 assumed",)),
    ],
    "logic": [("share", (f"%20 = or %12, %12 : {B}",))],
    "shapes": [
        ("share", ("%20 = inject %12, %13 : secret int[] arith max 3 declared",)),
        ("share", ("%22, %23 = dabit {shape=(2,)} : secret bool[2] mask, secret int[2] mask",
                   f"%24 = bit_to_arith_dabit %12, %22, %23 : {N}")),
    ],
    "width": [
        ("value", (f"%20 = is_negative %10 {{width=44}} : {B}",)),
        ("value", (f"%20 = is_zero %10 {{width=43}} : {B}",)),
        ("share", (SPLIT, f"%20 = msb %21 {{block=4, drop=3, width=41}} : {B}")),
        ("share", (SPLIT, RANK.replace("(45,)", "(44,)"))),
        ("share", (SPLIT, f"%30 = pair_rank %12, %21 {{blocks=(1,4), widths=(1,44)}} : {R}")),
    ],
    "dabit": [
        ("share", (DABIT, f"%30 = not %12 : {B}", f"%31 = inject_dabit %12, %22, %23, %10 : {A}",
                   f"%32 = inject_dabit %30, %22, %23, %10 : {A}")),
        ("share", (DABIT, DABIT2, f"%30 = inject_dabit %12, %22, %25, %10 : {A}")),
        ("share", (DABIT, f"%30 = bit_to_arith_dabit %12, %22, %23 : {N}", f"%31 = share %3 : {B}",
                   f"%32 = bit_to_arith_dabit %31, %22, %23 : {N}")),
        ("share", (DABIT, DABIT2, f"%30 = bit_to_arith_dabit %12, %24, %23 : {N}")),
    ],
    "opening": [
        ("value", (loop("carry=0, consts=1, trip=2", f"  %31 = rank %30 : {R}\n", "%31", result=STACK),)),
        ("value", (loop("carry=1, consts=0, trip=2", "", "%30", params=f"%30 : {R}"),)),
        ("share", (loop("carry=0, consts=1, trip=2", f"  %31, %32 = dabit {{shape=()}} : {M0}, {MN0}\n", "%32"),)),
        ("share", (loop("carry=1, consts=0, trip=2", "", "%30", params=f"%30 : {M}", operands="%12"),)),
    ],
    "loop": [
        ("value", (loop("carry=1, consts=1, trip=2", NEG, "%31"),)),
        ("value", (loop("carry=0, consts=0, trip=3", f"  %31 = neg %30 : {A}\n", "%31"),)),
        ("value", (loop("carry=1, consts=0, trip=2", "", ""),)),
        ("value", (loop("carry=1, consts=0, trip=2", NEG, "%31", operands="%10, %11"),)),
        ("value", (loop("carry=1, consts=0, trip=2", "", "%30", params=f"%30 : {A.replace('44', '43')}"),)),
        ("value", (loop("carry=1, consts=0, trip=2", "", "%30", params=f"%30 : {A.replace('assumed', 'declared')}"),)),
        ("value", (loop("carry=1, consts=0, trip=2", "", "%30", params=f"%30 : {A.replace('<18>', '<17>')}"),)),
    ],
    "infer": [
        ("value", (f"%20 = neg %10 : {A.replace('44', '43')}",)),
        ("value", (f"%20 = neg %10 : {A.replace('[4]', '[5]')}",)),
        ("value", (f"%20 = neg %10 : {A.replace('assumed', 'declared')}",)),
        ("value", (f"%20, %21 = neg %10 : {A}, {A}",)),
        ("share", (SPLIT, f"%30 = msb %21 {{block=4, drop=20, width=45}} : {B}")),
        ("share", ("%30 = lookup %12 {scales=(), tables=()} : secret fixed<0>[4] arith",)),
        ("share", (SPLIT, "%30 = periodic_sum3 %21 {cos=(0,), known=31, rate=1, scale=40, sin=(1,)} : "
                   "secret fixed<40>[4] sum3")),
        ("value", (f"%20 = add %10, %13 : {A}",)),
        ("value", (f"%20 = transpose %10 {{perm=(1,)}} : {A}",)),
        ("value", (f"%20 = truncate %10 {{bits=19}} : {A}",)),
        ("value", (f"%20 = dot %10, %11 {{dims=(((3,),(0,)),((),()))}} : {A}",)),
        ("value", (loop("carry=1, consts=0, trip=2", NEG, "%31, %30"),)),
    ],
    "inputs": [],
    "outputs": [("value", (f'output %{n} "[1]" to {tail}',)) for n, tail in (
        (0, '"carol" float32'), (10, '"carol" complex64'), (10, '"" float32'),
    )] + [("share", (SUM3, 'output %20 "[1]" to "jmpc.SECRET" float32'))],
    "scope": [], "defined": [], "once": [],
}  # fmt: skip


def built(*emitted: Op, params: tuple[Value, ...] = (), results: tuple[Value, ...] = ()) -> Program:
    inputs = tuple(Input(f"x[{n}]", "") for n in range(len(params)))
    outputs = tuple(Output(f"[{n}]", "carol", "float32") for n in range(len(results)))
    return Program("p", Config(), inputs, outputs, Block(params, emitted, results))


PUBLIC_T = Type((), INT, 0, 3, "declared", PUBLIC, "", PLAIN)
X, Y, Z = Value(PUBLIC_T), Value(PUBLIC_T), Value(PUBLIC_T)
INNER = Value(PUBLIC_T)


def loop_of(body: Block) -> Op:
    return Op("loop", (X,), (Value(PUBLIC_T),), {"consts": 0, "carry": 1, "trip": 1, "body": body})


def region(use: Value) -> Op:
    return loop_of(Block((INNER,), (), (use,)))


BUILT: list[tuple[str, Program]] = [
    ("defined", built(Op("neg", (Y,), (Z,)), Op("neg", (X,), (Y,)), params=(X,))),
    ("defined", built(Op("neg", (Y,), (Y,)), params=(X,))),
    ("defined", built(Op("neg", (Y,), (Z,)), params=(X,))),
    ("defined", built(params=(X,), results=(Y,))),
    ("scope", built(region(X), params=(X,))),
    ("scope", built(region(INNER), Op("neg", (INNER,), (Z,)), params=(X,))),
    ("scope", built(region(INNER), params=(X,), results=(INNER,))),
    ("scope", built(loop_of(Block((INNER,), (Op("neg", (X,), (Z,)),), (Z,))), params=(X,))),
    ("once", built(Op("neg", (X,), (X,)), params=(X,))),
    ("once", built(Op("neg", (X,), (Y,)), Op("neg", (X,), (Y,)), params=(X,))),
    ("once", built(params=(X, X))),
    ("once", built(loop_of(Block((X,), (), (X,))), params=(X,))),
    ("once", built(region(INNER), region(INNER), params=(X,))),
    ("attributes", built(Op("rev", (X,), (Y,), {"axes": []}), params=(X,))),
    ("type", built(Op("neg", (X,), (Value(PUBLIC_T.with_(shape=(np.int64(3),))),)), params=(X,))),
    ("type", built(Op("neg", (X,), (Value(PUBLIC_T.with_(kind="real")),)), params=(X,))),
    ("bound", built(Op("neg", (X,), (Value(PUBLIC_T.with_(limit=-1)),)), params=(X,))),
    ("bound", built(Op("neg", (X,), (Value(secret_fixed((), 18, 1 << 300)),)), params=(X,))),
    ("inputs", Program("p", Config(), (), (), Block((X,), (), ()))),
    ("outputs", Program("p", Config(), (Input("x", ""),), (), Block((X,), (), (X,)))),
]  # fmt: skip
