from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Mount
from starlette.testclient import TestClient

from querybudget import console
from querybudget.cli.console import allowed_hosts
from querybudget.console.guesses import ALL_GUESSES, GUESSES, Guesses
from querybudget.console.sessions import COOKIE, LASTS, Sessions
from querybudget.errors import SetupError
from querybudget.limiter import Limiter
from querybudget.policy.load import load
from querybudget.stores import MemoryStore
from querybudget.units import Micros
from tests.console.conftest import TOKEN, Console, MakeConsole
from tests.console.fake_admin import CALLER, NOW, RING, SWEEPER, FakeAdmin, record

PAGES = (
    *("/groups", f"/groups/{RING}"),
    *("/", "/accounts", f"/accounts/{CALLER}", f"/accounts/{CALLER}/forget", "/calls", "/policy"),
    *("/calls/req-1", "/overrides", "/audit", "/calls/stream"),
)
API = (
    *("/accounts", f"/accounts/{CALLER}", "/top", "/calls", "/overrides", "/audit", "/policy"),
    *("/groups", f"/groups/{RING}"),
)
FORMS = (
    *(f"/accounts/{CALLER}/change", f"/accounts/{CALLER}/pardon", f"/accounts/{CALLER}/forget"),
    *(f"/unlink/{RING}", f"/unlink/{CALLER}", f"/relink/{CALLER}"),
    *("/overrides/o1/remove", "/budgets/rpm/mode", "/policy/reload", "/logout"),
)
CHANGES = (
    ("POST", "/api/overrides"),
    ("DELETE", "/api/overrides/o1"),
    ("POST", f"/api/accounts/{CALLER}/pardon"),
    ("POST", f"/api/accounts/{CALLER}/forget"),
    ("POST", f"/api/unlink/{RING}"),
    ("DELETE", f"/api/unlink/{RING}"),
    ("POST", "/api/reload"),
    ("POST", "/api/budgets/rpm/mode"),
)


def untouched(admin: FakeAdmin) -> bool:
    changes = (admin.changes, admin.pardoned, admin.forgotten, admin.removed, admin.unlinked)
    return not any((*changes, admin.relinked))


# -- Reading -------------------------------------------------------------------------------------


def test_with_a_token_every_page_asks_for_it_first(anonymous: Console) -> None:
    for page in PAGES:
        answer = anonymous.get(page, follow_redirects=False)
        assert answer.status_code == 303, page
        assert answer.headers["location"].startswith("/login?next=")
        assert CALLER not in answer.text


def test_with_a_token_the_api_needs_it(anonymous: Console) -> None:
    for path in (*API, "/events", "/calls/req-1"):
        answer = anonymous.get(f"/api{path}")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), path
        assert answer.json() == {"error": "A token is needed."}


def test_without_a_token_everybody_reads_and_nobody_changes(make: MakeConsole) -> None:
    client = make(FakeAdmin(calls=[record()]), token=None)
    for page in PAGES[:-1]:
        answer = client.get(page)
        assert answer.status_code == 200, page
        assert "read-only" in answer.text
        assert '<form method="post"' not in answer.text
    assert all(client.get(f"/api{path}").status_code == 200 for path in API)
    assert {client.post(form).status_code for form in FORMS} == {403}
    for method, path in CHANGES:
        answer = client.request(method, path, headers={"authorization": "Bearer whatever"})
        assert answer.status_code == 403
        assert "read-only" in answer.json()["error"]
    assert client.log_in().status_code == 403
    assert untouched(client.admin)


def test_reading_can_be_public_while_changes_need_the_token(make: MakeConsole) -> None:
    client = make(FakeAdmin(calls=[record()]), public_read=True)
    assert client.get("/").status_code == 200
    assert client.get("/api/accounts").status_code == 200
    assert {client.post(form).status_code for form in FORMS} == {401}
    assert {client.request(method, path).status_code for method, path in CHANGES} == {401}
    assert untouched(client.admin)


def test_a_short_token_is_refused_at_the_start(make: MakeConsole) -> None:
    with pytest.raises(SetupError, match="at least 16 characters, found 6"):
        make(token="secret")


# -- Logging in ----------------------------------------------------------------------------------


def test_the_cookie_is_for_this_console_alone_and_out_of_scripts_reach(make: MakeConsole) -> None:
    client = make()
    cookie = client.log_in().headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert TOKEN not in cookie
    client.base_url = "https://testserver"
    assert "Secure" in client.log_in().headers["set-cookie"]


def test_a_session_ends(operator: Console) -> None:
    assert operator.get("/").status_code == 200
    operator.time[0] = NOW + LASTS
    assert operator.get("/", follow_redirects=False).status_code == 303


def test_a_session_ends_when_its_person_logs_out(operator: Console) -> None:
    assert operator.submit("/logout").status_code == 303
    assert operator.get("/", follow_redirects=False).status_code == 303


def test_a_copy_of_a_cookie_is_worth_nothing_after_the_logout(operator: Console) -> None:
    copy = operator.cookies[COOKIE]
    operator.submit("/logout")
    operator.cookies.set(COOKIE, copy)
    assert operator.get("/", follow_redirects=False).status_code == 303
    assert operator.submit("/overrides/o1/remove").status_code == 401
    operator.cookies.clear()  # else some clients send both
    operator.log_in()
    assert operator.get("/", follow_redirects=False).status_code == 200


def test_a_copy_of_a_cookie_is_worth_nothing_in_another_process_that_shares_the_store(
    policy_file: Path,
) -> None:
    store = MemoryStore(clock=lambda: Micros(NOW))
    first, second = (
        Console(console.app(_limiter(policy_file, store), token=TOKEN)) for _ in range(2)
    )
    first.log_in()
    copy = first.cookies[COOKIE]
    second.cookies.set(COOKIE, copy)
    assert second.get("/").status_code == 200
    csrf = first.csrf()
    assert first.submit("/logout").status_code == 303
    assert second.get("/", follow_redirects=False).status_code == 303
    assert second.get("/api/overrides").status_code == 401
    form = {"csrf": csrf}
    assert second.post("/overrides/o1/remove", data=form).status_code == 401
    second.log_in()
    assert "session-" not in second.get("/overrides").text
    assert "the session has ended everywhere" in second.get("/audit").text


def _limiter(policy_file: Path, store: MemoryStore) -> Limiter:
    return Limiter(load(str(policy_file)), store=store, clock=lambda: Micros(NOW))


def test_sessions_that_ended_are_remembered_as_long_as_they_would_have_lasted() -> None:
    sessions = Sessions(TOKEN)
    for number in range(100):
        session, cookie = sessions.begin("ana", NOW + number * LASTS)
        sessions.end(session, session.until - 1)
        assert sessions.read(cookie, session.until - 1) is None
        assert len(vars(sessions)["_ended"]) == 1


def test_a_session_is_worth_nothing_after_a_change_of_the_token() -> None:
    old, new = Sessions("one-token-of-many-signs"), Sessions("another-token-of-many")
    session, cookie = old.begin("ana", NOW)
    assert old.read(cookie, NOW) == session
    assert new.read(cookie, NOW) is None
    assert not new.is_form_token(session, old.form_token(session))


@pytest.mark.parametrize("change", ["", ".", "x", "A" * 2_000, "é.é", "e30.", "e30.00"])
def test_a_cookie_that_was_made_up_is_no_session(change: str) -> None:
    sessions = Sessions(TOKEN)
    _, cookie = sessions.begin("ana", NOW)
    assert sessions.read(change, NOW) is None
    assert sessions.read(cookie + change, NOW) is None or not change
    assert sessions.read(change + cookie, NOW) is None or not change


def test_a_name_is_kept_short_and_in_one_line() -> None:
    session, _ = Sessions(TOKEN).begin("ana\r\nset-cookie: x=1" + "y" * 500, NOW)
    assert "\n" not in session.by
    assert len(session.by) <= 60


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "\\\\evil",
        "a//b",
        "x\r\ny: z",
        "é",
    ],
)
def test_a_login_leads_to_no_other_site(anonymous: Console, target: str) -> None:
    location = anonymous.log_in(next=target).headers["location"]
    assert urlsplit(location)[:3] == ("", "", "/") or location.startswith("/https")
    assert location == "/"


def test_a_login_leads_to_the_page_that_was_asked_for(anonymous: Console) -> None:
    asked = anonymous.get("/accounts?sort=score&kind=callers", follow_redirects=False)
    form = anonymous.get(asked.headers["location"]).text
    target = re.search(r'name="next" value="([^"]*)"', form)
    assert target
    assert target[1] == "accounts?sort=score&amp;kind=callers"
    location = anonymous.log_in(next="accounts?sort=score&kind=callers").headers["location"]
    assert location == "/accounts?sort=score&kind=callers"


def test_wrong_tokens_are_counted_and_then_even_the_right_one_waits(anonymous: Console) -> None:
    wrong = [anonymous.log_in(f"guess-{number}").status_code for number in range(GUESSES)]
    assert wrong == [403] * GUESSES
    answer = anonymous.log_in()
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert anonymous.get("/api/accounts", headers=bearer).status_code == 429
    anonymous.time[0] += 62_000_000
    assert anonymous.log_in().status_code == 303


def test_guesses_at_the_api_count_too(anonymous: Console) -> None:
    for number in range(GUESSES):
        bearer = {"authorization": f"Bearer guess-{number}"}
        assert anonymous.get("/api/accounts", headers=bearer).status_code == 401
    assert anonymous.log_in().status_code == 429


def test_right_tokens_are_never_counted(program: Console) -> None:
    assert {program.get("/api/overrides").status_code for _ in range(3 * GUESSES)} == {200}


def test_guesses_of_one_network_do_not_lock_out_others(anonymous: Console) -> None:
    for number in range(GUESSES + 1):
        anonymous.log_in(f"guess-{number}")
    elsewhere = TestClient(anonymous.app, client=("2001:db8::1", 1))
    answer = elsewhere.post("/login", data={"token": TOKEN}, follow_redirects=False)
    assert answer.status_code == 303


@pytest.mark.anyio
async def test_all_networks_together_have_a_bound() -> None:
    guesses = Guesses(lambda: NOW)

    async def wait(number: int) -> int:
        scope = {"type": "http", "client": (f"10.1.{number // 200}.{number % 200}", 1)}
        return await guesses.wait(HTTPConnection(scope), right=False)

    waits = [await wait(number) for number in range(ALL_GUESSES + 5)]
    assert waits == [0] * ALL_GUESSES + [waits[-1]] * 5
    assert 1 <= waits[-1] <= 60


@pytest.mark.anyio
async def test_guesses_of_many_networks_do_not_lock_out_one_that_had_the_token() -> None:
    guesses = Guesses(lambda: NOW)

    async def wait(host: str, *, right: bool) -> int:
        return await guesses.wait(
            HTTPConnection({"type": "http", "client": (host, 1)}), right=right
        )

    assert not await wait("10.9.9.9", right=True)
    for number in range(ALL_GUESSES + 5):
        await wait(f"10.1.{number // 200}.{number % 200}", right=False)
    assert await wait("10.8.8.8", right=True)
    assert not await wait("10.9.9.9", right=True)
    for _ in range(GUESSES):
        assert not await wait("10.9.9.9", right=False)
    assert await wait("10.9.9.9", right=True)


@pytest.mark.anyio
async def test_addresses_of_one_ipv6_network_guess_together() -> None:
    guesses = Guesses(lambda: NOW)

    async def wait(host: str) -> int:
        connection = HTTPConnection({"type": "http", "client": (host, 1)})
        return await guesses.wait(connection, right=False)

    waits = [await wait(f"2001:db8::{number:x}") for number in range(GUESSES + 1)]
    assert waits[:GUESSES] == [0] * GUESSES
    assert waits[GUESSES] > 0
    assert await wait("2001:db8:0:1::1") == 0
    assert await wait("no address") == 0


# -- Forms ---------------------------------------------------------------------------------------


def test_a_form_without_the_token_of_its_session_changes_nothing(operator: Console) -> None:
    data = {"action": "block", "span": "0", "mode": "shadow", "reason": "x"}
    tokens: tuple[dict[str, str], ...] = ({}, {"csrf": ""}, {"csrf": "0" * 64}, {"csrf": "é"})
    for form in FORMS:
        for token in tokens:
            assert operator.post(form, data=data | token).status_code == 403, (form, token)
    assert untouched(operator.admin)


def test_a_form_token_is_worth_nothing_in_another_session(make: MakeConsole) -> None:
    client = make()
    client.log_in()
    stolen = client.csrf()
    client.log_in()
    answer = client.post(f"/accounts/{CALLER}/pardon", data={"csrf": stolen})
    assert answer.status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_form_that_another_site_sends_changes_nothing(operator: Console, site: str) -> None:
    headers = {"sec-fetch-site": site}
    data = {"csrf": operator.csrf(), "token": TOKEN}
    for form in (*FORMS, "/login"):
        assert operator.post(form, data=data, headers=headers).status_code == 403
    assert untouched(operator.admin)


def test_only_forms_are_taken_as_forms(operator: Console) -> None:
    text = {"content-type": "text/plain"}
    body = f"csrf={operator.csrf()}&action=block&span=0"
    assert (
        operator.post(f"/accounts/{CALLER}/change", content=body, headers=text).status_code == 415
    )
    assert untouched(operator.admin)


def test_a_form_is_bounded(operator: Console) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    path = f"/accounts/{CALLER}/pardon"
    assert operator.post(path, content=b"a" * 70_000, headers=form).status_code == 413
    assert operator.post(path, content=b"a=1&" * 40, headers=form).status_code == 400
    assert operator.post(path, content=b"\xff\xfe=1", headers=form).status_code in {400, 403}


def test_a_session_is_not_enough_to_change_something_through_the_api(operator: Console) -> None:
    assert operator.get("/api/accounts").status_code == 200
    for method, path in CHANGES:
        assert operator.request(method, path, json={}).status_code == 401
    assert untouched(operator.admin)


# -- What browsers are told ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "page", ["/", "/login", "/nothing", "/static/console.css", "/api/accounts"]
)
def test_every_answer_forbids_foreign_scripts_frames_and_caches(
    anonymous: Console, page: str
) -> None:
    headers = anonymous.get(page, follow_redirects=False).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["cache-control"] == "no-store"
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"


def test_no_page_holds_a_script_or_a_style_of_its_own(operator: Console) -> None:
    operator.admin.calls.append(record())
    for page in PAGES[:-1]:
        text = operator.get(page).text
        assert re.findall(r"<script(?![^>]* src=)", text) == [], page
        assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", text) == []
        assert re.findall(r'(?:src|href|action)="(?!/|#)[^"]*"', text) == []


@pytest.mark.parametrize(
    "path",
    [
        "/static/..%2fapplication.py",
        "/static/%2e%2e/application.py",
        "/static/../__init__.py",
        "/static/....//x",
        "/static/console.css%00",
        "/static//etc/passwd",
        "/static/",
    ],
)
def test_nothing_but_the_two_files_is_served(operator: Console, path: str) -> None:
    answer = operator.get(path)
    assert answer.status_code == 404
    assert "import" not in answer.text


def test_other_methods_do_nothing(operator: Console) -> None:
    for method in ("OPTIONS", "PUT", "PATCH", "DELETE", "TRACE"):
        for path in ("/", f"/accounts/{CALLER}", *FORMS):
            assert operator.request(method, path).status_code == 405
    assert untouched(operator.admin)


def test_head_answers_as_get_does_without_a_body(operator: Console) -> None:
    answer = operator.head("/accounts")
    assert (answer.status_code, answer.content) == (200, b"")
    assert operator.head("/login").status_code == 200
    assert operator.head("/calls/stream").headers["content-type"].startswith("text/event-stream")


def test_what_callers_send_is_shown_as_text(make: MakeConsole) -> None:
    evil = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>"
    seen = record("r1", model=evil, path=f"/{evil}", tier=evil, violated=(evil,), source=evil)
    client = make(FakeAdmin(calls=[seen]))
    client.log_in(by=evil)
    client.submit(f"/accounts/{CALLER}/change", action="block", span="0", reason=evil)
    pages = ["/", "/calls", "/calls/r1", "/overrides", "/audit", f"/accounts/{CALLER}"]
    pages += [
        "/accounts?q=" + evil,
        "/accounts?sort=" + evil,
        "/call?id=" + evil,
        "/login?next=" + evil,
    ]
    for page in pages:
        text = client.get(page).text
        assert "<script>alert" not in text, page
        assert "<img" not in text, page


# -- Where it is mounted -------------------------------------------------------------------------


@pytest.mark.parametrize("root", ["", "/behind/a proxy"])
def test_it_works_at_any_path(make: MakeConsole, root: str) -> None:
    inner = make()
    app = Starlette(routes=[Mount("/ops/console", inner.app)])
    begin = f"{root}/ops/console".replace(" ", "%20")
    client = TestClient(app, root_path=root, base_url=f"http://testserver{begin}")
    answer = client.get("/accounts", follow_redirects=False)
    assert answer.headers["location"] == f"{begin}/login?next=accounts"
    answer = client.post("/login", data={"token": TOKEN}, follow_redirects=False)
    assert answer.headers["location"] == f"{begin}/"
    assert f"Path={begin}" in answer.headers["set-cookie"].split("; ")
    cookie = answer.headers["set-cookie"].partition(";")[0]
    text = client.get("/", headers={"cookie": cookie}).text
    addresses = set(re.findall(r'(?:src|href|action)="([^"#]+)"', text))
    assert len(addresses) > 8
    assert all(address.startswith(f"{begin}/") for address in addresses)
    answer = client.get(f"/api/accounts/{SWEEPER}", headers={"cookie": cookie})
    assert answer.json()["account"] == SWEEPER


def test_two_consoles_do_not_take_each_others_sessions(make: MakeConsole) -> None:
    one, other = make(), make(token="another-token-of-many-signs")
    one.log_in()
    other.cookies = one.cookies
    assert other.get("/", follow_redirects=False).status_code == 303


def test_the_console_is_a_starlette_application(make: MakeConsole) -> None:
    assert isinstance(console.app(make().limiter, admin=FakeAdmin()), Starlette)


# -- Names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *((name, 200) for name in ("localhost", "LOCALHOST:8321", "localhost.", "[::1]:8321")),
        *((name, 421) for name in ("evil.example", "localhost.evil.example", "evil@localhost")),
        *(
            (name, 421)
            for name in ("", "::1", "localhost:80:80", "localhost,evil", "evil:localhost")
        ),
    ],
)
def test_a_console_with_names_answers_under_no_other(
    make: MakeConsole, host: str, status: int
) -> None:
    console = make(token=None, allowed_hosts=["localhost", "[::1]"])
    for path in ("/", "/api/accounts"):
        assert console.get(path, headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("listening", "names"),
    [
        ("127.0.0.1", {"localhost", "127.0.0.1", "[::1]", "own"}),
        ("127.0.0.2", {"localhost", "127.0.0.1", "[::1]", "127.0.0.2", "own"}),
        ("::1", {"localhost", "127.0.0.1", "[::1]", "own"}),
        ("0.0.0.0", {"own"}),
    ],
)
def test_on_a_loopback_address_the_command_takes_the_machine_s_names(
    listening: str, names: set[str]
) -> None:
    assert set(allowed_hosts(listening, ["own"])) == names
