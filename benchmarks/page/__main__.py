"""Put results into docs/performance.md and README.md: `python -m benchmarks.page`.

Everything between the marks of the page is replaced, in the page's order: goals, requests, HTTP,
growth, a large deployment. The pictures are drawn anew beside it. With `--check` nothing is
written, and the exit code says whether something would change.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.page.pictures import IMAGES, drawn
from benchmarks.page.tables import SECTIONS, number

ROOT = Path(__file__).parents[2]
NAMES = ("overhead", "stores", "http", "scale", "simulate")
SPEED = ("<!-- speed: begin -->", "<!-- speed: end -->")
FIGURES = ("<!-- figures: begin -->", "<!-- figures: end -->")

TITLES = {
    "goals": "Goals",
    "overhead": "What a request costs",
    "http": "Over HTTP",
    "scale": "Growth",
    "simulate": "A large deployment",
}
PICTURES = {
    "overhead": "![µs that each limiter adds to a request](images/speed.svg)",
    "scale": "![µs that budgets, rules and tiers add to a request](images/growth.svg)",
}
COMMANDS = {
    "overhead": "`python -m benchmarks.overhead`; all cases in one process, see [Method](#method).",
    "http": "`python -m benchmarks.http`.",
    "scale": "`python -m benchmarks.scale`.",
    "simulate": "`python -m benchmarks.simulate`.",
}

Results = Mapping[str, Mapping[str, Any]]


def replaced(page: str, marks: tuple[str, str], by: str) -> str:
    """The page with what is between its marks replaced."""
    before, begin, rest = page.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not (begin and end):
        raise SystemExit(f"expected {marks[0]} and {marks[1]} in the page")
    return f"{before}{begin}\n{by}\n{end}{after}"


def sections(results: Results) -> str:
    """All sections whose results there are."""
    return "\n\n".join(part for name in SECTIONS for part in _section(name, results))


def _section(name: str, results: Results) -> Iterator[str]:
    write, needed = SECTIONS[name]
    if not all(one in results for one in needed):
        return
    yield f"## {TITLES[name]}"
    if name in COMMANDS:
        yield COMMANDS[name]
    if name in PICTURES:
        yield PICTURES[name]
    yield from write(results)


def readme(results: Results) -> str:
    """What README.md says of costs."""
    rows = {(row["case"], row["path"]): row for row in results["overhead"]["sequential"]}

    def added(case: str, path: str = "/items", figure: str = "cpu_added") -> str:
        return number(rows[case, path][figure]["median"]) + " µs"

    ours, chat, base = "querybudget, ", "/v1/chat/completions", "BaseHTTPMiddleware"
    chunk = next(r for r in results["overhead"]["chunks"] if r["case"] == f"{ours}4 budgets")
    said = [
        ("asgi-ratelimit (one limit, no tokens)", added("asgi-ratelimit")),
        ("throttled-py (the same)", added("throttled-py fixed window")),
        ("querybudget, one budget in requests", added(f"{ours}1 budget")),
        ("slowapi, its ASGI middleware", added("slowapi SlowAPIASGIMiddleware")),
        ("querybudget, four budgets, tokens and money metered", added(f"{ours}4 budgets", chat)),
        (f"an empty Starlette `{base}`", added(base)),
        ("querybudget, each chunk of a stream", number(chunk["added"]["median"]) + " µs"),
    ]
    lines = [f"| {what:<54} | {cost:>8} |" for what, cost in said]
    seen, new = (
        added(f"{ours}everything on", path, "process_added")
        for path in ("1 KB, cached", "1 KB, never seen")
    )
    return "\n".join(
        [
            "Processor time added to a request, measured in one run beside other limiters,",
            "all in memory ([the whole table, and how it was made](docs/performance.md)).",
            "Machines differ: compare the rows with each other.",
            "",
            f"| {'':<54} | {'added':>8} |",
            f"|{'-' * 56}|{'-' * 9}:|",
            *lines,
            "",
            f"With a coverage budget beside the four, a 1 KB prompt adds {seen} if it was sent",
            f"before, and {new} if it was never seen.",
            "",
            "It reads more of each call than the others do. 3,000 real prompts through the",
            "`openai` and `anthropic` clients were charged exactly the tokens that the server",
            "reported. `make bench` measures on your machine.",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.page", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "performance.md")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    parser.add_argument("--images", type=Path, default=IMAGES)
    parser.add_argument("--check", action="store_true", help="only say whether they would change")
    given = parser.parse_args(arguments)
    files = {name: given.results / f"{name}.json" for name in NAMES}
    results = {name: json.loads(f.read_text()) for name, f in files.items() if f.exists()}
    made = {given.page: replaced(given.page.read_text(), SPEED, sections(results))}
    made[given.readme] = replaced(given.readme.read_text(), FIGURES, readme(results))
    if "scale" in results:
        made |= {given.images / name: picture for name, picture in drawn(results).items()}
    changed = [p for p, text in made.items() if not p.exists() or p.read_text() != text]
    if given.check:
        raise SystemExit("\n".join(f"{path} would change" for path in changed) or 0)
    for path in changed:
        path.write_text(made[path])
        print(f"written: {path}")


if __name__ == "__main__":
    main()
