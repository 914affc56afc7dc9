"""Fuzz every target in turn: `python -m tests.fuzz --minutes 30`, or `make fuzz MINUTES=30`.

Each target gets an equal share of the time, in a process of its own. Inputs that reach new code are
kept in a folder for each target, and the next run begins from them. An input that breaks a promise
is written beside them. Run it with ``python -m tests.fuzz.one TARGET FILE``, and add it to the
tests of what it breaks. The exit status is 1 if there is one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.targets import TARGETS, seeds

_EXECUTED = re.compile(r"number_of_executed_units:\s*(\d+)|^#(\d+)\s", re.MULTILINE)
_MEMORY = Path("/dev/shm")
_TAIL = 3_000
"""Characters shown of the output of a run that found something."""


def fuzz(name: str, seconds: int, folder: Path) -> tuple[int, list[Path], str]:
    """Fuzz one target; return how many inputs were tried, what was found, and the log's end."""
    own = folder / name.replace(" ", "-")
    corpus, found = own / "corpus", own / "found"
    for path in (corpus, found):
        path.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(name)):
        (corpus / f"seed-{number}").write_bytes(seed)
    before = set(found.iterdir())
    command = [sys.executable, "-m", "tests.fuzz.one", name, str(corpus)]
    options = [
        f"-max_total_time={seconds}",
        f"-artifact_prefix={found}/",
        "-max_len=2048",
        "-len_control=20",
        "-timeout=10",
        "-rss_limit_mb=4096",
        "-print_final_stats=1",
    ]
    memory = _MEMORY if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as scratch:  # libFuzzer ends without cleaning up
        run = subprocess.run(
            [*command, *options],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env={**os.environ, "TMPDIR": scratch},
        )
    log = run.stdout + run.stderr
    counts = [int(first or second) for first, second in _EXECUTED.findall(log)]
    return max(counts, default=0), sorted(set(found.iterdir()) - before), log[-_TAIL:]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="for all targets together")
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"), help="of inputs")
    parser.add_argument("names", nargs="*", metavar="target", help="only these")
    arguments = parser.parse_args()
    names = arguments.names or list(TARGETS)
    seconds = max(1, round(arguments.minutes * 60 / len(names)))
    total, failed = 0, False
    for name in names:
        executed, found, log = fuzz(name, seconds, arguments.folder)
        total += executed
        _say(f"{name:18} {executed:>12,} inputs, {executed // seconds:>8,} a second")
        if found or not executed:
            failed = True
            _say("\n".join([log, *map(str, found)]))
        with (arguments.folder / "log.jsonl").open("a") as file:
            record = {"target": name, "inputs": executed, "found": [path.name for path in found]}
            file.write(json.dumps(record) + "\n")
    _say(f"{'in all':18} {total:>12,} inputs")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
