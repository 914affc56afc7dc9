"""What 100,000 calls a second over 10 million identities need, from measured costs.

    python -m benchmarks.simulate --results benchmarks/results --out result.json

reads `scale.json` (costs of a call on Redis, with four budgets) and `stores.json` (bytes of an
identity, and what coverage adds to the server's time). It measures nothing itself.

Members of the JSON:

    measured    costs of a call, by load: "four budgets", "four budgets and coverage"
    fleet       what is assumed
    needs       by load, what it needs (see `benchmarks.simulate.model.Need`), and where it bends
    rates       by load, the shards needed at other rates
    held_to     workers, predicted and measured calls a second on this machine: costs are taken from
                one worker, and the others are predicted
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.simulate.model import Costs, Fleet, bend, need, predicted

RATES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
COVERED = "four budgets and coverage"

Result = Mapping[str, Any]


def simulated(scale: Result, stores: Result, fleet: Fleet) -> dict[str, Any]:
    rows = [row for row in scale["workers"] if row["store"] == "Redis"]
    if not rows:
        raise SystemExit(
            "scale.json: expected calls on Redis, found none: is redis-server on PATH?"
        )
    loads = _loads(rows[0], stores)
    cores = scale["environment"]["cores"]
    needs = dict[str, Any]()
    for name, costs in loads.items():
        found = need(costs, fleet)
        needs[name] = asdict(found) | {"bend": bend(costs, fleet, found.shards)}
    return {
        "environment": scale["environment"],
        "measured": {name: asdict(costs) for name, costs in loads.items()},
        "fleet": asdict(fleet),
        "needs": needs,
        "rates": {
            name: {str(rate): need(costs, replace(fleet, per_second=rate)).shards for rate in RATES}
            for name, costs in loads.items()
        },
        "held_to": [
            {
                "workers": row["workers"],
                "predicted": round(predicted(loads["four budgets"], row["workers"], cores), 1),
                "measured": row["per_second"],
            }
            for row in rows
        ],
    }


def _loads(alone: Result, stores: Result) -> dict[str, Costs]:
    """Costs of one worker's calls; coverage adds what the server's own count says it adds."""

    def script(limits: str) -> float:
        times = [
            row["call"]["median"]
            for row in stores["server"]
            if row["case"] == "Redis" and row["limits"] == limits and row["in_flight"] > 1
        ]
        return float(times[0])

    def identity(covered: bool) -> float:  # noqa: FBT001 - which column it is
        sizes = [
            row["bytes"]
            for row in stores["sizes"]
            if row["store"] == "Redis" and (row["callers"] != "no coverage") == covered
        ]
        return float(max(sizes))

    plain = Costs(
        alone["server_us"],
        alone["client_us"],
        alone["bytes_in"],
        alone["bytes_out"],
        identity(covered=False),
    )
    more = script("4 + coverage") / script("4")
    covered = replace(
        plain,
        server_us=round(plain.server_us * more, 1),
        identity_bytes=identity(covered=True),
    )
    return {"four budgets": plain, COVERED: covered}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.simulate", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--out", type=Path, required=True, help="where the JSON is written")
    parser.add_argument("--per-second", type=float, default=Fleet.per_second)
    parser.add_argument("--identities", type=int, default=Fleet.identities)
    given = parser.parse_args(arguments)
    scale, stores = (
        json.loads((given.results / f"{name}.json").read_text()) for name in ("scale", "stores")
    )
    fleet = Fleet(per_second=given.per_second, identities=given.identities)
    result = simulated(scale, stores, fleet)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({"needs": result["needs"], "held_to": result["held_to"]}, indent=2))
    print(f"written to {given.out}")


if __name__ == "__main__":
    main()
