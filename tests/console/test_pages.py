from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from querybudget.adapters.base import Usage
from querybudget.admin.protocol import PoolUse
from querybudget.console.account_pages import ROWS, caller_names
from querybudget.console.phrases import sentences
from querybudget.console.survey import counted
from querybudget.coverage import Reason, Touched
from querybudget.overrides import Effect
from querybudget.policy.load import load
from querybudget.testing import http_scope
from querybudget.traffic.record import TrafficRecord, TrafficText
from querybudget.units import MICRO, SECOND
from tests.console.conftest import Console, MakeConsole
from tests.console.fake_admin import (
    CALLER,
    NOW,
    POOL,
    RING,
    SUSPECT,
    SWEEPER,
    FakeAdmin,
    blocked,
    record,
    use,
    view,
)


def text_of(page: str) -> str:
    """What people read of a page."""
    words = re.sub(r"<svg.*?</svg>|<[^>]*>", " ", page, flags=re.DOTALL)
    return " ".join(words.replace("&#39;", "'").split())


def rows_of(page: str) -> list[str]:
    return [text_of(row) for row in re.findall(r"<tr[ >].*?</tr>", page, flags=re.DOTALL)]


# -- Overview ------------------------------------------------------------------------------------


def test_the_overview_says_how_everything_is(make: MakeConsole) -> None:
    calls = [
        record("a"),
        record("b", verdict="wait", violated=("rpm",)),
        record("c", identity=SWEEPER, shadowed=("day",), shadow_stage="slow"),
    ]
    client = make(FakeAdmin(calls=calls), token=None)
    text = text_of(client.get("/").text)
    assert "Store ok memory" in text
    assert "Accounts 3 2 of callers" in text
    assert "Disturbed callers 50.0 % 1 of 2, 1 more in shadow" in text
    rows = rows_of(client.get("/").text)
    assert "rpm 60 requests in any minute identity enforce 1 \u2013 50 % 3f2a9c01 3 0" in rows
    assert "day 1,000 requests in any day identity shadow \u2013 1 unused 0 0" in rows
    assert any(row.startswith("5f0c2a7b 0.91 persistence, wording degrade") for row in rows)


def test_the_overview_surveys_accounts_at_most_once_in_a_while(operator: Console) -> None:
    for _ in range(5):
        operator.get("/")
    assert operator.admin.lists == 1
    operator.time[0] += 11 * SECOND
    operator.get("/")
    assert operator.admin.lists == 2


def test_a_change_shows_on_the_overview_at_once(operator: Console) -> None:
    operator.get("/")
    operator.submit(f"/accounts/{CALLER}/pardon")
    operator.get("/")
    assert operator.admin.lists == 2


def test_a_console_that_decides_nothing_shows_no_counts_and_no_switches(make: MakeConsole) -> None:
    client = make(deciding=False)
    client.log_in()
    text = client.get("/").text
    assert "Disturbed" not in text
    assert "Would refuse" not in text
    assert "looks at a shared store" in text
    policy = client.get("/policy").text
    assert "Load it again" not in policy
    assert "/budgets/" not in policy
    refused = client.submit("/budgets/rpm/mode", mode="shadow")
    assert refused.status_code == 409
    assert "on the console of a server that does" in refused.text
    assert client.submit("/policy/reload").status_code == 409


# -- Accounts ------------------------------------------------------------------------------------


def many(count: int) -> FakeAdmin:
    kinds = ("caller", "org")
    return FakeAdmin(*(view(f"{number:032x}", kind=kinds[number % 2]) for number in range(count)))


def test_accounts_are_listed_page_by_page(make: MakeConsole) -> None:
    client = make(many(2 * ROWS + 5), token=None)
    seen, place = list[str](), "/accounts"
    for _ in range(3):
        page = client.get(place).text
        seen += re.findall(r'title="([0-9a-f]{32})"', page)
        found = re.search(r'rel="next" href="([^"]*)"', page)
        place = found[1].replace("&amp;", "&") if found else ""
    assert place == ""
    assert len(seen) == len(set(seen)) == 2 * ROWS + 5


def test_accounts_can_be_filtered(make: MakeConsole) -> None:
    client = make(many(3 * ROWS), token=None)
    shared = client.get("/accounts?kind=shared").text
    assert shared.count("<td>org</td>") == ROWS
    assert "<td>caller</td>" not in shared
    assert "<td>org</td>" not in client.get("/accounts?kind=callers&sort=score").text


def test_accounts_can_be_sorted(operator: Console) -> None:
    rows = rows_of(operator.get("/accounts?sort=score").text)
    assert rows[1].startswith("5f0c2a7b caller default 0.91")


def test_a_search_leads_to_the_account_or_says_why_not(operator: Console) -> None:
    found = operator.get(f"/accounts?q={CALLER[:8]}", follow_redirects=False)
    assert (found.status_code, found.headers["location"]) == (303, f"/accounts/{CALLER}")
    missing = operator.get("/accounts?q=ffffffff")
    assert missing.status_code == 404
    assert "expected one account that begins with 'ffffffff', found 0" in text_of(missing.text)


def test_a_caller_is_found_by_what_an_operator_has(operator: Console) -> None:
    key = operator.limiter.caller_for(http_scope(headers={"authorization": "Bearer sk-ada"}))
    operator.admin.views[key.identity.key] = view(key.identity.key)
    assert '<option value="api_key">API key</option>' in operator.get("/accounts").text
    found = operator.submit("/caller", kind="api_key", value=" sk-ada ")
    assert (found.status_code, found.headers["location"]) == (303, f"/accounts/{key.identity.key}")
    assert operator.submit("/caller", kind="api_key", value="sk-nobody").status_code == 404
    assert operator.submit("/caller", kind="user", value="ada").status_code == 400
    assert operator.submit("/caller", kind="api_key", value=" ").status_code == 400
    assert operator.submit("/caller", csrf="", kind="api_key", value="sk-ada").status_code == 403


def test_every_kind_of_name_that_the_policy_tells_callers_by_can_be_looked_for() -> None:
    policy = load(
        {
            "identity": ["user", {"header": {"name": "X-Team", "trusted_proxies": ["10.0.0.0/8"]}}],
            "partitions": {"org": {"claim": "org.id"}},
            "budgets": [{"name": "rpm", "limit": "1 request/minute", "per": "org"}],
        },
        environ={},
    )
    assert caller_names(policy) == {
        "user": "user",
        "header x-team": "header x-team",
        "partition org": "pool of org",
    }


def test_an_account_shows_what_it_used_its_score_and_why(operator: Console) -> None:
    spent = use("day", 70, 60, shadow=True)
    seen = msgspec.structs.replace(SUSPECT, budgets=(use(), spent), overrides=(blocked(SWEEPER),))
    operator.admin.views[SWEEPER] = seen
    page = operator.get(f"/accounts/{SWEEPER}").text
    rows, text = rows_of(page), text_of(page)
    assert "rpm 50 % 30 30 60 requests in 40 s" in rows
    assert "day 117 % 70 -10 60 requests in 40 s shadow" in rows
    assert "Sweep score 0.91" in text
    assert "+0.40 It jumps from subject to subject and does not stay on one." in text
    assert "-0.05 Its prompts are phrased as people phrase them." in text
    assert "18.0 % of the codebook" in text
    assert "blocked: every call is refused, by ana: abuse" in text


def test_an_account_that_callers_share_has_its_parts_to_choose_from(operator: Console) -> None:
    key = f"{CALLER}|model:00112233445566778899"
    operator.admin.views = {key: view(key)}
    place = f"/accounts/{key}".replace("|", "%7C")
    page = operator.get(place).text
    choice = re.search(r'<select name="part">(.*?)</select>', page)
    assert choice
    assert re.findall(r'value="([^"]*)"', choice[1]) == [*key.split("|"), key]
    fields = {"action": "block", "span": "0", "part": key.split("|")[1]}
    answer = operator.submit(f"{place}/change", **fields)
    assert answer.headers["location"] == f"{place.replace(':', '%3A')}?done=block"
    assert operator.admin.changes[0][1].account == "model:00112233445566778899"
    fields["part"] = "everyone"
    assert operator.submit(f"{place}/change", **fields).status_code == 400


def test_an_account_that_is_not_there_is_not_found(operator: Console) -> None:
    answer = operator.get("/accounts/ffffffffffff")
    assert answer.status_code == 404
    assert "found 0" in answer.text


# -- Calls ---------------------------------------------------------------------------------------


def test_calls_are_listed_newest_first(make: MakeConsole) -> None:
    calls = [
        record("old", usage=Usage(1_200, output=34)),
        record("new", verdict="wait", violated=("rpm",), shadowed=("day",), price=2 * MICRO),
    ]
    rows = rows_of(make(FakeAdmin(calls=calls), token=None).get("/calls").text)
    assert len(rows) == 3
    assert "refused 3f2a9c01 rpm day small \u00d72 /v1/chat/completions new" in rows[1]
    assert "admitted 3f2a9c01 small 1,234 /v1/chat/completions old" in rows[2]


def test_a_call_without_a_price_is_not_said_to_have_one(make: MakeConsole) -> None:
    unpriced = record("req_02", verdict="unpriced", price=0, shadow_price=0)
    client = make(FakeAdmin(calls=[unpriced]), token=None)
    assert "\u00d7" not in client.get("/calls").text
    assert "times the ordinary one" not in client.get("/calls/req_02").text


def test_a_call_is_found_by_its_request_id_and_told_in_sentences(make: MakeConsole) -> None:
    seen = record(
        "req_01",
        verdict="admit",
        stage="slow",
        delay=1_500_000,
        strain=800_000,
        price=3 * MICRO,
        reasons=(Reason("persistence", 500_000),),
        shadowed=("day",),
        shadow_stage="refuse",
        shadow_price=4 * MICRO,
        novelty=2,
        capabilities=("agentic_tool_use",),
        opaque=("token_ids",),
        expected=Usage(100, output=500),
        usage=Usage(120, output=60, estimated=True),
        charged={"rpm": MICRO, "gone": 2 * MICRO},
        status=200,
        duration=2 * SECOND,
        settlement="late",
        store="local",
        stream=True,
    )
    client = make(FakeAdmin(calls=[seen]), token=None)
    answer = client.get("/call?id=req_01")
    text = text_of(answer.text)
    for sentence in (
        "the caller 3f2a9c01, known by api_key, of tier default, asked for the model small: POST",
        "/v1/chat/completions (chat, as a stream).",
        "It asked for agentic tool use.",
        "It held what cannot be read: token ids.",
        "It was admitted.",
        "It was delayed by 1.5s, because the caller looks like a sweep.",
        "Strain was 80 %, from its score.",
        "Its price was 3 times the ordinary one.",
        "It entered 2 buckets of new ground.",
        "Shadow budgets that would have refused it: day.",
        "In shadow, it would have been refused as abnormal.",
        "In shadow, its price would have been 4 times the ordinary one.",
        "It was expected to use 100 tokens in and 500 out.",
        "It used 120 tokens in and 60 out, by an estimate.",
        "The application answered 200 after 2s.",
        "Its reservation had expired",
        "This worker decided alone, because the store was down.",
    ):
        assert sentence in text, sentence
    assert rows_of(answer.text)[1:] == ["rpm 1 request", "gone 2"]


def test_a_call_that_a_pool_held_is_not_said_to_be_held_for_its_caller() -> None:
    held = TrafficRecord(
        at=1, identity="a", stage="refuse", strain=MICRO, reasons=(Reason("members", MICRO),)
    )
    said = " ".join(sentences(held))
    assert "what it shares with others, such as a system prompt, looks like a sweep" in said
    assert "Strain was 100 %, from the pool's score." in said
    assert "the caller looks" not in said


def test_a_call_that_a_population_test_slowed_is_not_said_to_be_so_for_its_caller_alone() -> None:
    held = TrafficRecord(
        at=1,
        identity="a",
        verdict="admit",
        stage="slow",
        strain=650_000,
        delay=SECOND,
        reasons=(Reason("population", 650_000),),
        touched={"newcomers": Touched(650_000, 1, 6)},
    )
    said = " ".join(sentences(held))
    assert "because it and others of its pool together look like a sweep." in said
    assert "Strain was 65 %, from the population test of its pool." in said


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ({"3f2a": 590_000}, "from its score"),
        ({"3f2a": 100_000, "3f2a|model:m": 590_000}, "from its score"),
        ({"3f2a": 100_000, "org:acme": 590_000}, "from the pool's score"),
        ({"3f2a": 100_000}, "from the share of its bucket budget that is spent"),
        ({}, "from the share of its bucket budget that is spent"),
    ],
)
def test_strain_is_said_to_come_from_a_score_only_if_one_is_as_high_though_no_stage_began(
    scores: dict[str, int], words: str
) -> None:
    seen = TrafficRecord(at=1, identity="3f2a", strain=590_000, scores=scores)
    assert f"Strain was 59 %, {words}." in list(sentences(seen))


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("wait", "Refused for now. Budgets that refused it: rpm. It would have fitted after 12s."),
        ("never", "Refused for good"),
        ("unpriced", "the model has no price"),
        ("store_error", "The store did not answer"),
        ("too_many_delayed", "too many calls were delayed already"),
        ("blocked", "an operator has blocked this caller"),
        ("", "Nothing was decided about it."),
        ("new_word", "It was decided: new_word."),
    ],
)
def test_a_refusal_says_why(make: MakeConsole, verdict: str, words: str) -> None:
    seen = record("r1", verdict=verdict, violated=("rpm",), wait=12 * SECOND)
    client = make(FakeAdmin(calls=[seen]), token=None)
    assert words in text_of(client.get("/calls/r1").text)


def test_a_call_that_is_not_remembered_is_not_found(operator: Console) -> None:
    answer = operator.get("/calls/req-unknown")
    assert answer.status_code == 404
    assert "No call with the request id 'req-unknown' is remembered." in text_of(answer.text)


def test_prompts_are_shown_only_where_the_record_holds_them(make: MakeConsole) -> None:
    seen = record("r1", texts=(TrafficText("what is <b>this</b>?"),))
    page = make(FakeAdmin(calls=[seen]), token=None).get("/calls/r1").text
    assert "<pre>what is &lt;b&gt;this&lt;/b&gt;?</pre>" in page


def test_calls_are_counted_as_refused_slowed_or_neither() -> None:
    calls = [
        record("1"),
        record("2", stage="slow"),
        record("3", verdict="store_error", settlement="failed"),
        record("4", verdict="store_error", identity=SWEEPER),
        record("5", verdict=""),
    ]
    counts = counted(calls)
    assert (counts.calls, counts.refused, counts.slowed) == (5, 1, 1)
    assert (counts.callers, counts.disturbed) == (2, 2)
    assert counted([]).since == 0


# -- Policy, overrides, audit --------------------------------------------------------------------


def test_the_policy_is_shown_without_secrets(operator: Console, policy_file: Path) -> None:
    page = operator.get("/policy").text
    assert "rpm, limit: 60 requests/minute" in page
    assert "secret: ..." in page
    assert "0123456789abcdef" not in page
    policy_file.unlink()
    assert "There is no file to show" in operator.get("/policy").text


def test_overrides_are_listed_and_removed(operator: Console) -> None:
    operator.submit(f"/accounts/{POOL}/change", action="allow", span="3600", reason="a pilot")
    rows = rows_of(operator.get("/overrides").text)
    allowed = "allowed all budgets count and refuse nothing in 1 h now ana a pilot"
    assert f"org:00112233 {allowed} Remove" in rows
    answer = operator.submit("/overrides/o0/remove")
    assert "Removed." in operator.get(answer.headers["location"]).text
    assert operator.admin.removed == ["o0"]
    answer = operator.submit("/overrides/o9/remove")
    assert "It was removed already." in operator.get(answer.headers["location"]).text


def test_what_operators_did_is_listed(operator: Console) -> None:
    operator.submit(f"/accounts/{SWEEPER}/pardon", reason="a mistake")
    assert rows_of(operator.get("/audit").text)[1].endswith("ana pardon 5f0c2a7b a mistake")


# -- Changes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"action": "grant", "budget": "rpm", "factor": "2.5"}, {"factor": 2_500_000}),
        ({"action": "grant", "budget": "rpm", "amount": "1,000"}, {"amount": 1_000 * MICRO}),
        ({"action": "override", "budget": "day", "limit": "0.5"}, {"limit": 500_000}),
        ({"action": "allow", "budget": "*"}, {"effect": Effect.ALLOW}),
        ({"action": "block"}, {"effect": Effect.BLOCK, "budget": "*"}),
    ],
)
def test_an_account_is_changed_by_a_form(
    operator: Console, fields: dict[str, str], expected: dict[str, object]
) -> None:
    place = f"/accounts/{CALLER}/change"
    answer = operator.submit(place, span="86400", reason="  asked for ", **fields)
    assert answer.headers["location"] == f"/accounts/{CALLER}?done={fields['action']}"
    action, made = operator.admin.changes[0]
    assert action == fields["action"]
    assert (made.account, made.by, made.reason) == (CALLER, "ana", "asked for")
    assert made.until == NOW + 86_400 * SECOND
    assert {name: getattr(made, name) for name in expected} == expected
    assert '<p class="note" role="status">' in operator.get(answer.headers["location"]).text


def test_an_override_can_stay_until_it_is_removed(operator: Console) -> None:
    operator.submit(f"/accounts/{CALLER}/change", action="block", span="0")
    assert operator.admin.changes[0][1].until == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "grant", "span": "3600"},
        {"action": "grant", "span": "3600", "factor": "x"},
        {"action": "grant", "span": "3600", "factor": "-1"},
        {"action": "grant", "span": "3600", "amount": "1e400"},
        {"action": "grant", "span": "3600", "amount": "NaN"},
        {"action": "grant", "span": "3600", "amount": "9" * 40},
        {"action": "override", "span": "3600"},
        {"action": "override", "span": "3600", "limit": "0"},
        {"action": "override", "span": "17", "limit": "1"},
        {"action": "dance", "span": "3600"},
        {"span": "3600"},
    ],
    ids=str,
)
def test_a_form_that_says_nothing_sensible_changes_nothing(
    operator: Console, fields: dict[str, str]
) -> None:
    assert operator.submit(f"/accounts/{CALLER}/change", **fields).status_code == 400
    assert operator.admin.changes == []


def test_an_account_is_pardoned_by_a_form(operator: Console) -> None:
    operator.submit(f"/accounts/{SWEEPER}/pardon", reason="a reviewer")
    assert operator.admin.pardoned == [(SWEEPER, "ana", "a reviewer")]


def test_an_account_is_forgotten_after_a_question(operator: Console) -> None:
    page = operator.get(f"/accounts/{CALLER}/forget").text
    assert "This cannot be undone." in page
    assert operator.admin.forgotten == []
    answer = operator.submit(f"/accounts/{CALLER}/forget", reason="asked to be erased")
    assert answer.headers["location"] == "/accounts?done=forget"
    assert operator.admin.forgotten == [(CALLER, "ana", "asked to be erased")]


# -- Faults --------------------------------------------------------------------------------------


def test_the_overview_shows_what_it_can_while_the_store_is_down(operator: Console) -> None:
    operator.admin.down = True
    text = text_of(operator.get("/").text)
    assert "Accounts cannot be looked at: connection refused" in text
    assert "rpm 60 requests in any minute" in text
    assert "Store no answer" in text
    assert "Accounts \u2013 not known" in text
    assert "unused" not in text
    assert "No account has a score" not in text


@pytest.mark.parametrize("page", ["/accounts", "/overrides", f"/accounts/{CALLER}"])
def test_a_store_that_is_down_is_said_and_not_hidden(operator: Console, page: str) -> None:
    operator.admin.down = True
    answer = operator.get(page)
    assert answer.status_code == 503
    assert "The store does not answer: connection refused" in answer.text


def test_a_form_that_cannot_be_done_is_shown_again_as_it_was_filled_in(operator: Console) -> None:
    said = {"budget": "day", "span": "604800", "reason": "a <b>pilot</b>"}
    answer = operator.submit(f"/accounts/{CALLER}/change", action="grant", factor="two", **said)
    assert (answer.status_code, operator.admin.changes) == (400, [])
    (shown,) = re.findall(r"<details open>.*?</details>", answer.text, re.DOTALL)
    assert "Expected a number above 0 for factor" in shown
    assert "<option selected>day</option>" in shown
    assert '<option value="604800" selected>' in shown
    assert 'value="two"' in shown
    assert 'value="a &lt;b&gt;pilot&lt;/b&gt;"' in shown
    answer = operator.submit(f"/accounts/{CALLER}/change", action="grant", **said)
    assert "Say how the limit changes." in answer.text


# -- Linked groups -------------------------------------------------------------------------------


def test_the_page_of_groups_says_how_many_accounts_are_linked_and_by_what(
    operator: Console,
) -> None:
    (_, row) = rows_of(operator.get("/groups").text)
    assert row.startswith(f"{RING} 2 template (2), timing (1), conduct (1)")
    operator.admin.linked.clear()
    assert "No accounts are linked." in operator.get("/groups").text


def test_the_page_of_a_group_says_why_each_account_belongs_to_it(operator: Console) -> None:
    rows = rows_of(operator.get(f"/groups/{RING}").text)
    assert (
        "timing: calls in the same quarters of hours (5.0); system prompts that are alike (4.4)"
        in rows[1]
    )
    assert "conduct: too many of those who share this look like a sweep (4.9)" in rows[2]
    assert operator.get("/groups/group:none").status_code == 404


def test_an_account_or_a_whole_group_is_unlinked_by_a_form(operator: Console) -> None:
    for name in (CALLER, RING):
        answer = operator.submit(f"/unlink/{name}", reason="a school")
        assert (answer.status_code, answer.headers["location"]) == (303, "/groups?done=unlink")
    assert operator.admin.unlinked == [(CALLER, "ana", "a school"), (RING, "ana", "a school")]


def test_the_page_of_an_unlinked_account_takes_that_back(make: MakeConsole) -> None:
    client = make(FakeAdmin(view(unlinked=True)))
    client.log_in()
    assert "An operator has unlinked it" in client.get(f"/accounts/{CALLER}").text
    answer = client.submit(f"/relink/{CALLER}")
    assert answer.headers["location"] == f"/accounts/{CALLER}?done=relink"
    assert client.admin.relinked == [(CALLER, "ana", "")]


def test_the_page_of_an_account_names_its_pools(make: MakeConsole) -> None:
    pool = PoolUse("tier:new", (use(),), 700_000, "slow")
    text = make(FakeAdmin(view(pools=(pool,))), token=None).get(f"/accounts/{CALLER}").text
    assert "pool tier:new, rpm: " in text
    assert "slowed, score 0.70" in text


def test_the_page_of_a_linked_account_names_its_group(make: MakeConsole) -> None:
    client = make(FakeAdmin(view(group=RING)), token=None)
    assert f'href="/groups/{RING.replace(":", "%3A")}"' in client.get(f"/accounts/{CALLER}").text
