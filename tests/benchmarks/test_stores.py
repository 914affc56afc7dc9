"""The benchmark of stores: that it runs, says what it skips, and reports what it found."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from benchmarks.stores.__main__ import main
from benchmarks.stores.calls import COVERED, FOUR, Ours, budgets, observations
from benchmarks.stores.cases import Case
from benchmarks.stores.names import ADAPTER, LIMITS, MEMORY, REDIS, SQLITE, UNIX
from benchmarks.stores.prompts import KINDS, requests
from benchmarks.stores.report import markdown
from benchmarks.stores.rounds import overlapping
from benchmarks.stores.servers import Servers, servers
from querybudget.stores import MemoryStore
from querybudget.testing import ManualClock

SPREAD = {"median", "p25", "p75"}
TOP = {
    "environment",
    "method",
    "skipped",
    "sequential",
    "in_flight_64",
    "server",
    "sizes",
    "sqlite_sizes",
    "admission",
    "flood",
}


def need_servers() -> None:
    absent = [name for name in ("redis-server", "memcached") if not shutil.which(name)]
    if absent and os.environ.get("QUERYBUDGET_REQUIRE_SERVERS") == "1":
        pytest.fail(f"not on PATH: {', '.join(absent)}")
    if absent:
        pytest.skip(f"not on PATH: {', '.join(absent)}")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a run finds that is too short to mean anything."""
    need_servers()
    out = tmp_path_factory.mktemp("stores") / "stores.json"
    main(["--tiny", "--out", str(out)])
    return json.loads(out.read_text())


@pytest.mark.real_server
def test_a_run_takes_every_store_s_cost_and_a_ratio_where_the_others_are_installed(
    tiny: Any,
) -> None:
    assert set(tiny) == TOP
    for key in ("sequential", "in_flight_64"):
        ours = {(r["case"], r["limits"]) for r in tiny[key] if r["ours"]}
        stores = (MEMORY, SQLITE, REDIS, UNIX, ADAPTER)
        covered = {(name, "4 + coverage") for name in (MEMORY, SQLITE, REDIS)}
        assert ours == {(name, limits) for name in stores for limits in ("1", "4")} | covered
        for record in tiny[key]:
            for figure in ("us", "cpu_us", "process_us"):
                assert set(record[figure]) == SPREAD
                assert record[figure]["median"] > 0
            assert (record["ratio"] is None) == bool(tiny["skipped"])
    bases = [r for r in tiny["sequential"] if r["case"] == LIMITS]
    assert [(r["ratio"], r["cpu_ratio"]) for r in bases] == [(1, 1)] * len(bases)


@pytest.mark.real_server
def test_the_server_runs_two_functions_for_a_call_and_for_calls_that_come_together(
    tiny: Any,
) -> None:
    ours = [record for record in tiny["server"] if record["ours"]]
    assert {record["in_flight"] for record in ours} == {1, 4}
    for record in ours:
        assert record["reserve"]["commands"] == 1 / record["in_flight"]
        assert record["call"]["median"] >= record["reserve"]["best"] > 0
        assert record["settle"]["commands"] == 1 / record["in_flight"]


@pytest.mark.real_server
def test_an_identity_takes_more_with_coverage_and_a_row_more_than_nothing(tiny: Any) -> None:
    ours = {
        (r["callers"], r["calls"]): r["bytes"]
        for r in tiny["sizes"]
        if r["store"] == "Redis" and r["a_day"]
    }
    for kind in KINDS:
        assert ours[kind, 1] > ours["no coverage", 1] > 0
    assert all(record["bytes"] > 0 for record in tiny["sqlite_sizes"])


@pytest.mark.real_server
def test_our_stores_admit_as_many_as_they_promise_and_book_no_others(tiny: Any) -> None:
    ours = [r for r in tiny["admission"] if r["case"] in {MEMORY, SQLITE, REDIS, UNIX}]
    assert len(ours) == 4 * 3
    for record in ours:
        assert (record["admitted"], record["errors"]) == (64, {})
        assert not record["phantom"]


@pytest.mark.real_server
def test_five_hundred_calls_at_once_are_made_on_a_few_connections(tiny: Any) -> None:
    ours = [record for record in tiny["flood"] if record["case"] in {REDIS, UNIX}]
    assert len(ours) == 2
    for record in ours:
        assert (record["admitted"], record["errors"]) == (500, {})
        assert 0 < record["connections"] <= 8


@pytest.mark.real_server
def test_a_report_is_put_between_its_marks_and_leaves_the_rest_alone(
    tiny: Any, tmp_path: Path
) -> None:
    result, page = tmp_path / "result.json", tmp_path / "page.md"
    result.write_text(json.dumps(tiny))
    page.write_text("before\n<!-- stores: begin -->\nold\n<!-- stores: end -->\nafter\n")
    for _ in range(2):
        main(["--report", str(result), "--into", str(page)])
        text = page.read_text()
        assert text.startswith("before\n<!-- stores: begin -->\n")
        assert text.endswith("\n<!-- stores: end -->\nafter\n")
        assert text.count(markdown(tiny)) == 1
        assert "\nold\n" not in text


@pytest.mark.real_server
def test_a_report_says_whether_the_goals_were_met(tiny: Any) -> None:
    met = copy.deepcopy(tiny)
    for record in met["server"]:
        if record["ours"]:
            record["reserve"]["median"] = 12
    for record in met["sizes"]:
        record["bytes"] = 600
    missed = copy.deepcopy(met)
    for record in missed["server"]:
        if record["ours"]:
            record["reserve"]["median"] = 12.1
    for record in missed["sizes"]:
        record["bytes"] = 601
    assert "**not**" not in markdown(met)
    assert markdown(missed).count("**not**") == 3


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    result, page = tmp_path / "result.json", tmp_path / "page.md"
    result.write_text("{}")
    page.write_text("nothing\n")
    with pytest.raises(SystemExit, match="stores: begin"):
        main(["--report", str(result), "--into", str(page)])
    assert page.read_text() == "nothing\n"


@pytest.mark.slow
def test_a_run_without_servers_says_loudly_what_it_skips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    out = tmp_path / "stores.json"
    main(["--tiny", "--out", str(out)])
    result = json.loads(out.read_text())
    printed = capsys.readouterr()
    assert {record["case"] for record in result["sequential"]} == {MEMORY, SQLITE}
    assert {record["ratio"] for record in result["sequential"]} == {None}
    assert (result["server"], result["sizes"], result["flood"]) == ([], [], [])
    for name in ("redis-server", "memcached"):
        assert any(name in line for line in printed.err.splitlines() if line.startswith("SKIPPED"))
        assert name in printed.out


@pytest.mark.real_server
def test_servers_end_with_the_run_even_if_it_fails() -> None:
    need_servers()
    seen = list[Servers]()

    def fail() -> None:
        with servers() as found:
            seen.append(found)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    (found,) = seen
    assert found.redis
    for port in (found.redis.port, int(found.memcached.rpartition(":")[2])):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 5)
    assert not found.directory.exists()


async def test_a_call_that_is_refused_fails_the_run() -> None:
    ours = Ours(MemoryStore(ManualClock(0)), budgets([{"limit": "3 requests/minute"}]))
    case = Case(MEMORY, "1", ours.ask, ours)
    with pytest.raises(AssertionError, match="call 3 was not"):
        await overlapping(case, 4, 1, 1)


def test_a_caller_asks_the_same_in_every_run_and_not_what_others_ask() -> None:
    for kind in KINDS:
        assert requests(kind, 1, 30) == requests(kind, 1, 60)[:30]
        assert requests(kind, 1, 30) != requests(kind, 2, 30)


def test_a_sweep_walks_over_more_buckets_than_a_person_or_an_application() -> None:
    async def buckets(kind: str) -> int:
        (calls,) = await observations(kind, 1, 60)
        return len({cell for observation in calls for cell in observation.cells})

    person, application, sweep = (asyncio.run(buckets(kind)) for kind in KINDS)
    assert application > 1
    assert max(application, person) < sweep


async def test_calls_are_charged_on_every_budget_and_show_themselves_to_those_in_buckets() -> None:
    shown = await observations("mixed", 1, 3)
    plain = Ours(MemoryStore(ManualClock(0)), budgets(FOUR)).charge(0)
    covered = Ours(MemoryStore(ManualClock(0)), budgets(COVERED), shown)
    charges = [covered.charge(0) for _ in range(4)]
    assert (len(plain.lines), plain.observation, plain.profiled) == (4, None, ())
    assert [charge.observation for charge in charges] == [*shown[0], shown[0][0]]
    assert charges[0].profiled == (charges[0].lines[0].partition,)
    assert len({charge.id for charge in charges}) == 4
    assert charges[0].lines[4].response is not None
