"""Rules for linear algebra: plain JAX stands for each primitive (`numerics/linalg/`)."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

from jmpc.frontend.expand import expand
from jmpc.frontend.walk import Operand, Walker, rule
from jmpc.numerics.linalg.eigen import eigh, svd
from jmpc.numerics.linalg.orthogonal import qr
from jmpc.numerics.linalg.solve import cholesky, lu, triangular_solve

SMALL = 64  # the side up to which eigenvalues are sought


@lru_cache(maxsize=64)
def _with(function: Any, **static: Any) -> Any:
    return partial(function, **static)


@rule("cholesky")
def _cholesky(w: Walker, eqn: Any, args: list[Operand]) -> list[Operand]:
    return expand(w, cholesky, *args)


@rule("triangular_solve")
def _triangular_solve(w: Walker, eqn: Any, args: list[Operand]) -> list[Operand]:
    names = ("left_side", "lower", "transpose_a", "unit_diagonal")
    return expand(w, _with(triangular_solve, **{name: eqn.params[name] for name in names}), *args)


@rule("lu")
def _lu(w: Walker, eqn: Any, args: list[Operand]) -> list[Operand]:
    return expand(w, lu, *args)


@rule("qr")
def _qr(w: Walker, eqn: Any, args: list[Operand]) -> list[Operand]:
    if eqn.params.get("pivoting"):
        return w.refuse(eqn, args, "a QR factorisation with pivoting has no secure form: without it there is one")
    return expand(w, _with(qr, full=bool(eqn.params["full_matrices"])), *args)


def _is_small(eqn: Any) -> bool:
    return min(eqn.invars[0].aval.shape[-2:]) <= SMALL and eqn.params.get("subset_by_index") is None


@rule("eigh")
def _eigh(w: Walker, eqn: Any, args: list[Operand]) -> list[Operand]:
    if not _is_small(eqn):
        return w.refuse(eqn, args, f"eigenvalues are found for matrices up to a side of {SMALL}, all of them")
    return expand(w, eigh, *args)


@rule("svd")
def _svd(w: Walker, eqn: Any, args: list[Operand]) -> list[Operand]:
    if not _is_small(eqn):
        return w.refuse(
            eqn, args, f"singular values are found for matrices with a side of at most {SMALL}, all of them"
        )
    full = bool(eqn.params["full_matrices"]) and bool(eqn.params["compute_uv"])
    return expand(w, _with(svd, full=full), *args)[: len(eqn.outvars)]
