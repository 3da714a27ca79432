"""`python -m tests.faults WHAT`: what was done to three parties on purpose, counted.

python -m tests.faults frames      8 faults on every frame of 3 programs
python -m tests.faults kill        kill -9 of each party in each round of 3 programs
python -m tests.faults fuzz        what others may send, changed at random: --count 10000000
python -m tests.faults soak        sessions one after the other, with restarts: --count 10000
python -m tests.faults canary      marker values through every error, looked for in all that parties write
python -m tests.faults flood       strangers at a live port while a job runs
python -m tests.faults stall       each party stopped, each way cut, in rounds of 3 programs
python -m tests.faults timing      how long runs take with one secret and with others: --count 10000
python -m tests.faults truncations products of all sizes by each protocol: --count 100000000
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.faults import canary, flood, frames, fuzz, kill, soak, stall, timing, truncations


def _frames(options: argparse.Namespace) -> list[str]:
    counts = frames.run(jobs=options.jobs, every=options.every)
    print(f"{counts.frames} frames, {counts.cases} cases; second tries: {counts.second_tries}")
    for name, count in counts.ended.most_common():
        print(f"  ended in {name}: {count}")
    return counts.wrong


def _kill(options: argparse.Namespace) -> list[str]:
    counts = kill.run(every=options.every)
    print(f"{counts.cases} kills in {counts.sessions} sessions; slowest abort {counts.slowest_abort_s:.2f} s; slowest")
    print(
        f"  from the party's return to the end of the next run {counts.slowest_return_s:.2f} s; slowest of each step:"
    )
    print("  " + ", ".join(f"{name} {took:.2f} s" for name, took in counts.steps.items()))
    return counts.wrong


def _stall(options: argparse.Namespace) -> list[str]:
    counts = stall.run(every=options.every)
    print(
        f"{counts.cases} cases, {counts.ended} ended well; the slowest {counts.slowest_s:.2f} s after its trouble began"
    )
    return counts.wrong


def _fuzz(options: argparse.Namespace) -> list[str]:
    counts = fuzz.run(options.count, options.seed)
    print(f"{counts.inputs:,} inputs; memory grew by {counts.grown_mib:.1f} MiB")
    for name, ended in counts.ended.items():
        print(f"  {name}: " + ", ".join(f"{count:,} {how}" for how, count in ended.most_common()))
    return counts.wrong


def _soak(options: argparse.Namespace) -> list[str]:
    counts = soak.run(min(options.count, 10_000))
    print(f"{counts.sessions:,} sessions, {counts.restarts} restarts, {counts.blocks:,} blocks")
    before, after = counts.mib
    print(f"  memory {before:.0f} to {after:.0f} MiB; descriptors {counts.descriptors}, threads {counts.threads}")
    return counts.wrong


def _canary(_: argparse.Namespace) -> list[str]:
    counts = canary.run()
    print(
        f"{counts.errors} errors, {counts.files} files, {counts.words:,} ways in which a marker or a share is written"
    )
    return counts.wrong


def _flood(options: argparse.Namespace) -> list[str]:
    counts = flood.run(seed=options.seed)
    print(f"{counts.half_open} half-open, {counts.bad} bad handshakes; meanwhile {counts.calls} calls,")
    print(f"  {counts.newcomers} of newcomers; descriptors {counts.descriptors}, threads {counts.threads}")
    return counts.wrong


def _timing(options: argparse.Namespace) -> list[str]:
    counts = timing.run(options.count, seed=options.seed)
    print(f"{counts.runs:,} runs; t: " + ", ".join(f"{name} {t:+.2f}" for name, t in counts.t.items()))
    return counts.wrong


def _truncations(options: argparse.Namespace) -> list[str]:
    counts = truncations.run(options.count, options.seed)
    print(
        f"{counts.products:,} products; " + ", ".join(f"{name}: mean {b:+.6f} ulp" for name, b in counts.bias.items())
    )
    return counts.wrong


COMMANDS = {
    "frames": _frames,
    "kill": _kill,
    "stall": _stall,
    "fuzz": _fuzz,
    "soak": _soak,
    "canary": _canary,
    "flood": _flood,
    "timing": _timing,
    "truncations": _truncations,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=COMMANDS)
    parser.add_argument("--jobs", type=int, default=4, help="clusters at once (4)")
    parser.add_argument("--every", type=int, default=1, help="one case of so many (1)")
    parser.add_argument("--count", type=int, default=200_000, help="inputs, sessions or products (200,000)")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (0)")
    options = parser.parse_args()
    began = time.monotonic()
    wrong = COMMANDS[options.what](options)
    for line in wrong:
        print("WRONG", line)
    print(f"{options.what}: {len(wrong)} wrong, {time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
