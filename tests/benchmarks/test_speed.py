"""What the benchmarks of speed compute, and what their page says of it."""

# ruff: noqa: E402 - the benchmarks import the rivals

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

for rival in ("ratelimit", "slowapi", "throttled"):
    pytest.importorskip(rival, reason=f"{rival} is not installed: `make check` installs the rivals")

from benchmarks.http.load import parsed
from benchmarks.overhead import bodies
from benchmarks.overhead.cases import BARE, EVERYTHING, Case, application, cases, querybudget
from benchmarks.overhead.frameworks import missing
from benchmarks.overhead.measure import Sample, Subject, answer, interleaved
from benchmarks.overhead.report import request_figures, subject_name
from benchmarks.page.__main__ import main, replaced
from benchmarks.page.goals import Goal, goals
from benchmarks.page.pictures import bars, curves
from benchmarks.page.tables import number
from benchmarks.scale.growth import budgeted, growth, ruled
from benchmarks.scale.identities import measured as table_of
from benchmarks.scale.identities import percentile
from benchmarks.scale.workers import summary
from benchmarks.simulate.__main__ import simulated
from benchmarks.simulate.model import Costs, Fleet, bend, busiest, need, predicted, wait_us
from querybudget.policy.model import Policy

COSTS = Costs(server_us=50, client_us=100, bytes_in=1000, bytes_out=150, identity_bytes=760)
SPREAD = {"median": 2.0, "p25": 1.0, "p75": 3.0}


@pytest.mark.parametrize("size", bodies.SIZES)
def test_a_body_has_its_size_and_one_never_seen_differs_each_time(size: str) -> None:
    cached, cold = bodies.again(size), bodies.never_seen(size)
    assert cached.bodies(0, 2) == [cached.body] * 2
    first, second = cold.bodies(0, 2)
    assert first != second
    assert first not in {cached.body, cold.body}
    for body in (cached.body, first):
        assert bodies.SIZES[size] <= len(body) < bodies.SIZES[size] + 1024


def test_a_conversation_repeats_all_but_its_last_turn() -> None:
    first, second = (json.loads(body)["messages"] for body in bodies.conversation().bodies(0, 2))
    assert first[:-1] == second[:-1]
    assert first[-1] != second[-1]
    assert first[-1]["role"] == "user"
    assert 1024 <= len(first[-1]["content"]) < 1300


async def test_everything_on_answers_a_body_of_each_kind() -> None:
    app = querybudget(EVERYTHING, application())
    for request in (bodies.again("1 KB"), bodies.never_seen("1 KB"), bodies.conversation()):
        (body,) = request.bodies(0, 1)
        assert await answer(app, request, 1, body) == 200
    await app.limiter.aclose()


def test_every_case_has_a_base_for_the_same_request_and_a_name_of_its_own() -> None:
    everything = cases()
    names = [subject_name(case) for case in everything]
    assert len(set(names)) == len(names)
    assert {subject_name(case, case.base) for case in everything} <= set(names)
    told = {case.name for case in everything}
    assert told.isdisjoint(missing())


async def test_added_is_to_the_base_of_the_same_round() -> None:
    case = Case("limiter", bodies.again("1 KB"), lambda app: app)
    samples = {
        subject_name(case, BARE): [Sample(10, 10, 10), Sample(100, 100, 100), Sample(1, 1, 1)],
        subject_name(case): [Sample(12, 11, 13), Sample(102, 101, 103), Sample(3, 2, 4)],
    }
    (record,) = request_figures([case], samples)
    found = [record[name]["median"] for name in ("added", "cpu_added", "process_added")]
    assert found == [2, 1, 3]


async def test_fresh_bodies_never_repeat_between_batches() -> None:
    seen = list[bytes]()
    request = bodies.never_seen("1 KB")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        del scope
        seen.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200})

    subject = Subject("app", app, request, 1)
    await interleaved([subject], rounds=2, batch=1e-6, callers=2, tick=int)
    assert len(set(seen)) == len(seen) > 2


def test_a_line_of_wrk_becomes_a_load() -> None:
    found = parsed("Running 2s test\nFOUND 3000 2000000 1 1500.000000 9000.000000\n")
    assert (found.per_second, found.p50_ms, found.p99_ms, found.errors) == (1500, 1.5, 9.0, 1)
    with pytest.raises(ValueError, match="FOUND"):
        parsed("unable to connect")


async def test_a_table_of_identities_is_measured_call_by_call() -> None:
    record = await table_of(20, timed=50)
    assert record["identities"] == 20
    assert record["p999_us"] >= record["us"] > 0
    assert record["stall_ms"] > 0


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = list(range(1000))
    assert [percentile(values, share) for share in (0, 0.5, 0.999, 1)] == [0, 500, 999, 999]


def test_workers_add_up_and_the_worst_of_them_is_told() -> None:
    one = {"calls": 100, "seconds": 2, "cpu_s": 0.01, "p50_ms": 1, "p999_ms": 5, "stall_ms": 1}
    other = one | {"calls": 300, "cpu_s": 0.05, "p50_ms": 3, "p999_ms": 9, "stall_ms": 0.5}
    found = summary("Redis", [one, other])
    assert (found["workers"], found["calls"], found["per_second"]) == (2, 400, 200)
    assert (found["client_us"], found["p50_ms"]) == (150, 2)
    assert (found["p999_ms"], found["stall_ms"]) == (9, 1)


def test_growing_policies_have_as_many_budgets_as_they_say() -> None:
    assert len(Policy.load(budgeted(64)).budgets) == 64
    assert len(Policy.load(ruled(50)).budgets) == 51


async def test_growth_answers_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BUDGETS", "RULES"):
        monkeypatch.setattr(f"benchmarks.scale.growth.{name}", (1, 2))
    records = await growth(1, 2)
    kinds = ("budgets", "rules", "tiers")
    assert [(r["kind"], r["count"]) for r in records] == [(k, n) for k in kinds for n in (1, 2)]


def test_shards_carry_the_busiest_of_them_and_hold_all_identities() -> None:
    fleet = Fleet()
    found = need(COSTS, fleet)
    load = found.busiest * fleet.per_second / found.shards * COSTS.server_us / 1e6
    assert load <= fleet.busy
    assert found.shards * fleet.shard_bytes >= fleet.identities * COSTS.identity_bytes * fleet.spare
    assert found.shards > fleet.per_second * COSTS.server_us / 1e6 / fleet.busy
    assert found.worker_cores == 10
    assert found.network_mbit == 920


def test_a_fleet_that_is_large_and_quiet_needs_shards_for_its_memory() -> None:
    found = need(COSTS, Fleet(per_second=100, identities=100_000_000))
    assert (found.by_processor, found.shards) == (1, found.by_memory)
    assert found.by_memory > 1


def test_even_callers_load_shards_evenly_and_skewed_ones_do_not() -> None:
    even, skewed = (busiest(16, Fleet(skew=skew)) for skew in (0, 1.2))
    assert 1 <= even < 1.05
    assert skewed > 2
    assert busiest(1, Fleet()) == 1


def test_waits_grow_without_bound_towards_a_full_core() -> None:
    assert [wait_us(10, load) for load in (0, 0.5, 1)] == [0, 5, math.inf]


def test_an_account_that_all_share_bends_first_and_however_many_shards_there_are() -> None:
    few, many = (bend(COSTS, Fleet(), shards) for shards in (4, 64))
    shared = "an account that all share"
    assert few[shared] == many[shared] == 12_000
    assert many["busiest shard"] > few["busiest shard"]
    assert min(many, key=lambda part: many[part]) == shared


def test_a_machine_is_bound_by_its_workers_its_cores_or_its_server() -> None:
    assert predicted(COSTS, workers=1, cores=8) == 10_000
    assert predicted(COSTS, workers=4, cores=8) == 20_000
    assert predicted(COSTS, workers=4, cores=2) == pytest.approx(13_333.3, abs=0.1)


def results() -> dict[str, Any]:
    """The least that a page can be made of, and a part of each section."""
    environment = {
        "processor": "CPU",
        "cores": 2,
        "system": "Linux",
        "python": "3",
        "loop": "asyncio",
        "packages": {"limits": "5"},
    }

    def row(case: str, path: str) -> dict[str, Any]:
        figures = ("us", "cpu_us", "added", "cpu_added", "process_added", "process_us")
        return {"case": case, "path": path, "ratio": 1.5} | dict.fromkeys(figures, SPREAD)

    named = {
        "/items": (
            "asgi-ratelimit",
            "throttled-py fixed window",
            "slowapi SlowAPIASGIMiddleware",
            "BaseHTTPMiddleware",
            "querybudget, 1 budget",
        ),
        "/v1/chat/completions": ("querybudget, 4 budgets",),
        "1 KB, cached": ("querybudget, everything on",),
        "1 KB, never seen": ("querybudget, everything on",),
    }
    rows = [row(case, path) for path, cased in named.items() for case in cased]
    admitted = [{"over": 0, "phantom": phantom} for phantom in (None, 0, 0)]
    server = {"case": "Redis", "in_flight": 64, "call": SPREAD, "reserve": SPREAD}
    worker = {
        "store": "Redis",
        "workers": 1,
        "per_second": 5000.0,
        "client_us": 100.0,
        "p50_ms": 1.0,
        "p999_ms": 2.0,
        "stall_ms": 1.0,
        "server_us": 50.0,
        "bytes_in": 1000.0,
        "bytes_out": 150.0,
    }
    made: dict[str, Any] = {
        "overhead": {
            "environment": environment,
            "sequential": rows,
            "in_flight_64": rows[:1],
            "chunks": [{"case": "querybudget, 4 budgets", "us": SPREAD, "added": SPREAD}],
            "admission": {"querybudget": admitted},
            "import_ms": {"querybudget, after starlette": 39.0},
            "identity_bytes": {"querybudget, 1 budget": 900},
            "not_measured": ["litestar RateLimitMiddleware"],
        },
        "stores": {
            "server": [server | {"limits": limits} for limits in ("4", "4 + coverage")],
            "sizes": [
                {"store": "Redis", "callers": callers, "bytes": size}
                for callers, size in (("no coverage", 760), ("person", 1600))
            ],
        },
        "http": {
            "method": {"rounds": 2, "seconds": 1, "connections": 64, "load": "wrk"},
            "servers": [
                {"case": BARE, "path": "/items", "per_second": SPREAD, "ratio": 1, "errors": 0}
                | {"p50_ms": SPREAD, "p99_ms": SPREAD}
            ],
        },
        "scale": {
            "environment": environment,
            "identities": [
                {"identities": n, "us": us, "p999_us": 9, "stall_ms": 6, "bytes": 1500}
                for n, us in ((1_000, 10), (1_000_000, 15))
            ],
            "workers": [worker, worker | {"workers": 2, "per_second": 9000.0}],
            "growth": [{"kind": "budgets", "count": n, "us": 10.0 * n} for n in (1, 64)],
        },
    }
    made["simulate"] = simulated(made["scale"], made["stores"], Fleet(per_second=10_000))
    return made


def test_a_simulation_takes_costs_from_one_worker_and_is_held_to_the_others() -> None:
    found = results()["simulate"]
    assert found["measured"]["four budgets"]["server_us"] == 50
    assert found["measured"]["four budgets"]["identity_bytes"] == 760
    assert found["measured"]["four budgets and coverage"]["identity_bytes"] == 1600
    held = [(one["workers"], one["predicted"], one["measured"]) for one in found["held_to"]]
    assert held == [(1, 10_000, 5_000), (2, 13_333.3, 9_000)]


def test_goals_are_met_up_to_their_figure_and_not_measured_without_results() -> None:
    assert Goal("x", 30, 30, "µs").verdict == "met"
    assert Goal("x", 30.1, 30, "µs").verdict == "**not met**"
    assert {goal.verdict for goal in goals({})} == {"not measured"}
    verdicts = {goal.what: goal.verdict for goal in goals(results())}
    assert verdicts["a charge of 1M identities beside one of 1,000"] == "met"
    assert verdicts["longest stall of the event loop then"] == "**not met**"
    assert verdicts["everything on, 100 KB, never seen"] == "not measured"


def test_the_page_and_the_readme_are_made_of_results_and_keep_the_rest(tmp_path: Path) -> None:
    for name, result in results().items():
        (tmp_path / f"{name}.json").write_text(json.dumps(result))
    page, readme = tmp_path / "page.md", tmp_path / "readme.md"
    page.write_text("before\n<!-- speed: begin -->\nold\n<!-- speed: end -->\nafter\n")
    readme.write_text("before\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nafter\n")
    words = ["--results", str(tmp_path), "--page", str(page), "--readme", str(readme)]
    words += ["--images", str(tmp_path)]
    with pytest.raises(SystemExit, match="would change"):
        main([*words, "--check"])
    main(words)
    with pytest.raises(SystemExit) as unchanged:
        main([*words, "--check"])
    assert not unchanged.value.code
    for file in (page, readme):
        text = file.read_text()
        assert text.startswith("before\n")
        assert text.endswith("\nafter\n")
        assert "\nold\n" not in text
    said = page.read_text()
    for part in ("## Goals", "## Over HTTP", "## Growth", "## A large deployment"):
        assert part in said
    assert "Not measured, since not installed: litestar RateLimitMiddleware." in said
    assert "No peer adds less" in said
    assert "adds 2 µs if it was sent" in readme.read_text()
    for name in ("speed.svg", "growth.svg"):
        assert (tmp_path / name).read_text().startswith("<svg")


def test_a_page_without_marks_is_left_alone() -> None:
    with pytest.raises(SystemExit, match="expected a and b"):
        replaced("nothing", ("a", "b"), "new")


def test_pictures_show_every_case_and_stand_zero() -> None:
    assert bars("x", "title", {"querybudget": 0.0, "other": 2.0}).count("stroke-width:12") == 2
    assert curves("x", "title", {"budgets": [(1, 0.0), (64, 9.5)]}).count("<path") >= 1


def test_figures_are_written_to_three_places_at_most() -> None:
    said = [number(value) for value in (None, 0, 0.123, 12.34, 1234.5, 3.0)]
    assert said == ["-", "0", "0.12", "12.3", "1,234", "3"]
