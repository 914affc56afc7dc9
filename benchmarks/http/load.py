"""The load: wrk where it is installed, otherwise a client of ours in a process of its own.

    python -m benchmarks.http.load URL --seconds 2 --connections 64 [--body FILE]

prints one line of JSON. Ours reads answers by their length and costs about as much as a server
does, so with it figures are lower, and alike for all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import quantiles
from urllib.parse import urlsplit

__all__ = ["CALLERS", "Load", "load", "parsed", "tool"]

CALLERS = 256

SCRIPT = """
local body = {body}
local number = 0
wrk.method = "{method}"
wrk.body = body
wrk.headers["Content-Type"] = "application/json"
request = function()
  number = (number + 1) % {callers}
  wrk.headers["Authorization"] = string.format("Bearer sk-%06d", number)
  return wrk.format(nil, nil)
end
done = function(summary, latency)
  io.write(string.format("FOUND %d %d %d %f %f\\n", summary.requests, summary.duration,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True)
class Load:
    """What came of a load.

    Attributes:
        per_second: Requests answered in a second.
        p50_ms: Half waited no longer.
        p99_ms: One in a hundred waited longer.
        errors: Answers other than 200, and connections that failed.
    """

    per_second: float
    p50_ms: float
    p99_ms: float
    errors: int


def tool() -> str:
    return "wrk" if shutil.which("wrk") else "a client of ours, in its own process"


def load(url: str, body: bytes, *, seconds: float, connections: int, folder: Path) -> Load:
    """Put a server under load from another process."""
    if shutil.which("wrk") is None:
        file = folder / "body.json"
        file.write_bytes(body)
        words = [sys.executable, "-m", "benchmarks.http.load", url, "--body", str(file)]
        words += ["--seconds", str(seconds), "--connections", str(connections)]
        return Load(**json.loads(subprocess.run(words, capture_output=True, check=True).stdout))
    script = folder / "load.lua"
    method = "POST" if body else "GET"
    quoted = f"[==[{body.decode()}]==]" if body else "nil"
    script.write_text(SCRIPT.format(body=quoted, method=method, callers=CALLERS))
    whole = max(round(seconds), 1)
    words = ["wrk", "-t1", f"-c{connections}", f"-d{whole}s", "-s", str(script), url]
    return parsed(subprocess.run(words, capture_output=True, check=True, text=True).stdout)


def parsed(printed: str) -> Load:
    """What the script of wrk has printed."""
    found = re.search(r"FOUND (\d+) (\d+) (\d+) ([\d.]+) ([\d.]+)", printed)
    if found is None:
        raise ValueError(f"expected a line FOUND of wrk, found {printed!r}")
    requests, micros, errors = (int(found[n]) for n in (1, 2, 3))
    p50, p99 = (round(float(found[n]) / 1000, 3) for n in (4, 5))
    return Load(round(requests / (micros / 1e6), 1), p50, p99, errors)


async def _worker(
    url: str, body: bytes, numbers: list[int], until: float, waits: list[float]
) -> int:
    at, errors = urlsplit(url), 0
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    method = b"POST" if body else b"GET"
    while time.monotonic() < until:
        numbers[0] += 1
        head = b"%s %s HTTP/1.1\r\nhost: bench.example\r\nauthorization: Bearer sk-%06d\r\n" % (
            method,
            at.path.encode(),
            numbers[0] % CALLERS,
        )
        if body:
            head += b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body)
        begin = time.perf_counter()
        writer.write(head + b"\r\n" + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", answer, re.IGNORECASE)
        await reader.readexactly(int(length[1]) if length else 0)
        waits.append(time.perf_counter() - begin)
        errors += b" 200 " not in answer.partition(b"\r\n")[0]
    writer.close()
    return errors


async def _own(url: str, body: bytes, seconds: float, connections: int) -> Load:
    waits, numbers, begin = list[float](), [0], time.monotonic()
    workers = (_worker(url, body, numbers, begin + seconds, waits) for _ in range(connections))
    errors = sum(await asyncio.gather(*workers))
    cuts = quantiles(waits, n=100)
    taken = time.monotonic() - begin
    p50, p99 = (round(cuts[n] * 1000, 3) for n in (49, 98))
    return Load(round(len(waits) / taken, 1), p50, p99, errors)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--body", type=Path)
    given = parser.parse_args()
    body = given.body.read_bytes() if given.body else b""
    found = asyncio.run(_own(given.url, body, given.seconds, given.connections))
    print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main()
