"""One script that each organisation runs: what is loaded is loaded at its owner, and results are at their receivers."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

import jmpc
from jmpc.client.cluster import Cluster
from jmpc.client.script import Script
from jmpc.command.main import run
from jmpc.errors import ArgumentError, ConfigError, DeadlineError, HandshakeError
from jmpc.handle import Elsewhere
from tests.service.three import Three

WEIGHTS = {"w": np.float32([[1, 2], [3, 4]]), "b": [np.float32([0.5, -0.5]), 2.5]}
X = np.float32([[1, -1]])


def model(params: Any, x: Any) -> Any:
    return (x @ params["w"] + params["b"][0]) * params["b"][1]


RIGHT = (X @ WEIGHTS["w"] + WEIGHTS["b"][0]) * 2.5


def predict_with(outputs: Any = "bob") -> jmpc.Secured:
    return jmpc.secure(model, inputs={"params": "alice", "x": "bob"}, outputs=outputs)


def at_each(clusters: list[Cluster], script: Callable[[], Any], label: str, wait_s: float = 20.0) -> list[Any]:
    """What a script gives, or raises, at each organisation."""

    def at(cluster: Cluster) -> Any:
        try:
            with Script(cluster, label, wait_s):
                return script()
        except jmpc.JMPCError as error:
            return error

    with ThreadPoolExecutor(len(clusters)) as threads:
        return list(threads.map(lambda cluster: copy_context().run(at, cluster), clusters))


def test_here_a_script_is_whole() -> None:
    found = predict_with()(jmpc.from_owner("alice", lambda: WEIGHTS), jmpc.from_owner("bob", lambda: X))
    np.testing.assert_allclose(found, RIGHT, atol=1e-4)
    with pytest.raises(ConfigError, match="not the name of an owner"):
        jmpc.from_owner("", lambda: X)


def test_what_is_loaded_is_loaded_at_its_owner(alice: Cluster, bob: Cluster) -> None:
    loaded: list[str] = []

    def load(owner: str, value: Any) -> Any:
        loaded.append(owner)
        return value

    def script() -> Any:
        params = jmpc.from_owner("alice", lambda: load("alice", WEIGHTS))
        x = jmpc.from_owner("bob", lambda: load("bob", X))
        more = jmpc.from_owner("bob", lambda: load("bob", 2 * X))
        predict = predict_with()
        return predict(params, x), predict(params, more), predict_with({"alice", "bob"})(params, x)

    at_alice, at_bob = at_each([alice, bob], script, "loads")
    assert sorted(loaded) == ["alice", "bob", "bob"]
    np.testing.assert_allclose(at_bob[0], RIGHT, atol=1e-4)
    np.testing.assert_allclose(at_bob[1], model(WEIGHTS, 2 * X), atol=1e-4)
    for result in (at_alice[2], at_bob[2]):
        np.testing.assert_allclose(result, RIGHT, atol=1e-4)
    assert repr(at_alice[0]) == "Elsewhere(float32[1, 2], learned by 'bob')"
    with pytest.raises(ArgumentError, match="in the same script"):
        at_alice[0] + 1


def test_what_stays_shared_is_passed_on_in_the_script(alice: Cluster, bob: Cluster) -> None:
    def script() -> Any:
        x, y = jmpc.from_owner("alice", lambda: X), jmpc.from_owner("bob", lambda: 3 * X)
        add = jmpc.secure(lambda x, y: x + y, inputs={"x": "alice", "y": "bob"}, outputs=jmpc.SECRET)
        total = add(x, y)
        for _ in range(2):
            total = jmpc.secure(lambda t, x, y: t + x + y, inputs={"x": "alice", "y": "bob"}, outputs=jmpc.SECRET)(
                total, x, y
            )
        return jmpc.secure(lambda t: t, outputs={"alice", "bob"}, owners=["alice", "bob"])(total)

    for result in at_each([alice, bob], script, "stays"):
        np.testing.assert_allclose(result, 12 * X, atol=1e-4)


def test_who_has_no_part_in_a_call_goes_on(alice: Cluster, bob: Cluster) -> None:
    def noisy(x: Any) -> Any:
        return x + jmpc.random.uniform(x.shape)

    def script() -> Any:
        x, y = jmpc.from_owner("alice", lambda: X), jmpc.from_owner("bob", lambda: 3 * X)
        own = jmpc.secure(noisy, inputs={"x": "alice"}, outputs="alice")(x)
        alone = jmpc.secure(noisy)(X)
        both = jmpc.secure(lambda x, y: x + y, inputs={"x": "alice", "y": "bob"}, outputs="bob")(x, y)
        return own, alone, both

    at_alice, at_bob = at_each([alice, bob], script, "no part")
    assert [isinstance(result, Elsewhere) for result in at_alice] == [False, False, True]
    assert [isinstance(result, Elsewhere) for result in at_bob] == [True, False, False]
    np.testing.assert_allclose(at_bob[2], 4 * X, atol=1e-4)
    for drawn in (at_alice[0], at_alice[1], at_bob[1]):
        assert np.all((drawn - X >= 0) & (drawn - X <= 1))


def test_what_nobody_could_agree_on_is_refused(alice: Cluster, bob: Cluster) -> None:
    both_have_looked = threading.Barrier(2)

    def of_the_caller() -> Any:
        params, x = jmpc.from_owner("alice", lambda: WEIGHTS), jmpc.from_owner("bob", lambda: X)
        both_have_looked.wait(30)
        return jmpc.secure(model, inputs={"params": "alice", "x": "bob"})(params, x)

    def without_bob() -> Any:
        x = jmpc.from_owner("alice", lambda: X)
        both_have_looked.wait(30)
        return jmpc.secure(lambda x: x * 2, inputs={"x": "alice"}, outputs=jmpc.SECRET)(x)

    def arrays_of_others() -> Any:
        return predict_with()(WEIGHTS, X)

    for error in at_each([alice, bob], of_the_caller, "caller"):
        assert isinstance(error, ConfigError)
        assert "part of the caller" in str(error)
    handle, error = at_each([alice, bob], without_bob, "without")
    assert isinstance(handle, jmpc.SecretArray)
    assert "bob has no part" in str(error)
    for error in at_each([alice, bob], arrays_of_others, "arrays"):
        assert "jmpc.from_owner" in str(error)


class Pair(NamedTuple):
    a: Any
    b: Any


def test_other_nodes_take_a_template(alice: Cluster, bob: Cluster) -> None:
    def script() -> Any:
        pair = jmpc.from_owner("alice", lambda: Pair(X, X.T), like=Pair(0, 0))
        x = jmpc.from_owner("bob", lambda: X)
        function = jmpc.secure(
            lambda pair, x: (pair.a + x) @ pair.b, inputs={"pair": "alice", "x": "bob"}, outputs={"alice", "bob"}
        )
        return function(pair, x)

    for result in at_each([alice, bob], script, "pair"):
        np.testing.assert_allclose(result, 2 * X @ X.T, atol=1e-4)


def test_who_does_not_run_the_script_is_missed(alice: Cluster) -> None:
    (error,) = at_each([alice], lambda: jmpc.from_owner("bob", lambda: X), "lonely", wait_s=0.0)
    assert isinstance(error, DeadlineError)
    assert "bob has not said what it brings" in str(error)
    assert "jmpc run SCRIPT --as bob" in str(error)


def test_it_is_said_whom_a_script_waits_for(alice: Cluster, bob: Cluster) -> None:
    said = {"script": threading.Event(), "call": threading.Event()}
    words: list[str] = []

    def say(word: str) -> None:
        words.append(word)
        said["script" if "script" in word else "call"].set()

    def at(cluster: Cluster) -> Any:
        late = cluster is bob  # who comes to each place once the other has said that it is waited for
        with Script(cluster, "late", 20.0, say=(lambda _: None) if late else say, quiet_s=0.0):
            params = jmpc.from_owner("alice", lambda: WEIGHTS)
            assert not late or said["script"].wait(20.0)
            x = jmpc.from_owner("bob", lambda: X)
            assert not late or said["call"].wait(20.0)
            return predict_with()(params, x)

    with ThreadPoolExecutor(2) as threads:
        _, found = threads.map(lambda cluster: copy_context().run(at, cluster), [alice, bob])
    np.testing.assert_allclose(found, RIGHT, atol=1e-4)
    assert words[:2] == ["waiting for bob to run the same script, for up to 20 s", "model waits for bob"]


def test_what_was_posted_goes_with_its_run(alice: Cluster, bob: Cluster, three: Three) -> None:
    def post() -> Any:
        return jmpc.from_owner("alice", lambda: X)

    at_each([alice], post, "gone")
    (error,) = at_each([bob], post, "gone", wait_s=0.0)
    assert isinstance(error, DeadlineError)


@pytest.mark.parametrize(
    "said", ["", "[]", '{"tree":"0","leaves":[["","no_dtype",[2],false]]}', '{"tree":"0","leaves":[]}']
)
def test_what_another_posts_is_checked(said: str) -> None:
    from jmpc.client.script import _placeholders  # pyright: ignore[reportPrivateUsage]

    with pytest.raises((HandshakeError, jmpc.errors.StoreError)):
        _placeholders("alice", said, None)


SCRIPT = """
import sys
import numpy as np
import jmpc
import beside


def load():
    print("loaded by alice", sys.argv[1:])
    return np.float32([[1, 2], [3, 4]])


total = jmpc.secure(lambda w, x: (w @ x).sum(), inputs={"w": "alice", "x": "bob"}, outputs="bob")
result = total(jmpc.from_owner("alice", load), jmpc.from_owner("bob", lambda: np.float32([beside.ONE, 1])))
print("result", result)
"""


def test_the_command_runs_one_script_at_each(three: Three, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "beside.py").write_text("ONE = 1\n")
    path = tmp_path / "predict.py"
    path.write_text(SCRIPT)
    common = ["run", str(path), "--cluster", str(three.folder)]
    command = [sys.executable, "-m", "jmpc", *common, "--as", "alice", "an-argument"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        before = sys.argv, sys.path[:]
        code = run([*common, "--as", "bob"])
        out, _ = process.communicate(timeout=120)
    assert (code, process.returncode) == (0, 0), out
    assert (sys.argv, sys.path) == before
    assert "loaded by alice ['an-argument']" in out
    assert "learned by 'bob'" in out
    here = capsys.readouterr().out
    assert "loaded by alice" not in here
    assert "result 10.0" in here


def test_the_command_says_what_is_wrong(three: Three, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", str(tmp_path / "none.py"), "--as", "bob", "--cluster", str(three.folder)]) == 1
    assert "cannot be read" in capsys.readouterr().err
    (tmp_path / "one.py").write_text("print(1)")
    assert run(["run", str(tmp_path / "one.py"), "--cluster", str(three.folder)]) == 2
    assert "--as NAME" in capsys.readouterr().err


def test_shapes_are_those_that_jax_takes() -> None:
    from jmpc.client.script import _placeholders, _posted  # pyright: ignore[reportPrivateUsage]

    tree = {"a": np.arange(3), "b": 2.5, "c": (True, None)}
    found = _placeholders("alice", _posted("alice", tree), None)
    assert jax.tree.structure(found) == jax.tree.structure(tree)
    assert found["a"].dtype == jax.dtypes.canonicalize_dtype(np.int64)
    assert [leaf.weak_type for leaf in jax.tree.leaves(found)] == [False, True, False]
