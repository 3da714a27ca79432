"""What importing loads: `import jmpc` no compiler, a party process no front end."""

from __future__ import annotations

import subprocess
import sys

import jmpc


def _loaded(code: str) -> set[str]:
    code += "\nimport sys; print('\\n'.join(m for m in sys.modules if m.split('.')[0] in ('jmpc', 'jax')))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_import_jmpc_loads_nothing_else() -> None:
    assert _loaded("import jmpc") == {"jmpc"}


def test_settings_and_errors_need_no_jax() -> None:
    loaded = _loaded("import jmpc; jmpc.Config(); jmpc.errors; jmpc.JMPCError")
    assert "jax" not in loaded
    assert not any(m.startswith(("jmpc.frontend", "jmpc.compiler", "jmpc.api")) for m in loaded)


def test_a_party_never_loads_the_front_end() -> None:
    loaded = _loaded("import jmpc.daemon.child, jmpc.daemon.handover, jmpc.service.service, jmpc.store")
    assert "jmpc.families.protocol" in loaded
    unwanted = (
        "jmpc.frontend",
        "jmpc.api",
        "jmpc.compiler",
        "jmpc.passes",
        "jmpc.backends",
        "jmpc.families.replicated3.lowering",
    )
    assert not [m for m in loaded if m.startswith(unwanted)]


def test_every_name_is_there_and_no_other() -> None:
    for name in jmpc.__all__:
        assert getattr(jmpc, name) is not None
    assert set(jmpc.__all__) <= set(dir(jmpc))
    assert not hasattr(jmpc, "nothing")
