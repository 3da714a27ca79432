"""Run pyright once, strict for all of jmpc, and say what is wrong (`findings.py`). Exits 1 where anything is."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from tests.strict.findings import LIST, ROOT, Finding, faults, findings_of, listed


def pyright(python: str) -> list[Finding]:
    command = [sys.executable, "-m", "pyright", "--project", str(ROOT / "pyright-strict.json"), "--pythonpath", python]
    done = subprocess.run([*command, "--outputjson"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode > 1:  # 1: there are findings
        raise SystemExit(f"pyright failed:\n{done.stdout}{done.stderr}")
    return findings_of(json.loads(done.stdout))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.strict", description=__doc__)
    parser.add_argument("--pythonpath", default=sys.executable, help="the Python whose packages are imported")
    parser.add_argument("--show", metavar="PART", help="list what is found in a part, such as jmpc/frontend")
    parser.add_argument("--counts", action="store_true", help="print how many findings each part has")
    asked = parser.parse_args()
    found = pyright(asked.pythonpath)
    if asked.show:
        print("\n".join(str(f) for f in found if f.part == asked.show))
        return 0
    if asked.counts:
        parts = dict.fromkeys(f.part for f in found)
        print("\n".join(f"{part} {sum(f.part == part for f in found)}" for part in parts))
        return 0
    wrong = faults(found, listed(LIST.read_text()))
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
