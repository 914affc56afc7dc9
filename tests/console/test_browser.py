"""The console in a real browser: Chromium, as distributions package it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from querybudget import console
from querybudget.asgi import QueryBudgetMiddleware
from querybudget.limiter import Limiter
from querybudget.policy.model import Policy
from querybudget.testing import serving
from querybudget.traffic import Recent

TOKEN = "a-token-that-nobody-guesses"
POLICY = {
    "version": 1,
    "secret": "0123456789abcdef0123456789abcdef",
    "identity": ["api_key"],
    "exempt": ["/console/**"],
    "budgets": [
        {"name": "rpm", "limit": "40 requests/minute"},
        {"name": "tight", "limit": "2 requests/hour", "mode": "shadow"},
        {"name": "as-long-as-names-may-be-" + "x" * 40, "limit": "900 requests/hour"},
    ],
}
PAGES = {
    "light": (
        "",
        "accounts",
        "calls",
        "policy",
        "overrides",
        "groups",
        "audit",
        "login",
        "nothing",
    ),
    "dark": ("", "calls", "policy"),
}
WAIT = 20_000
"""Milliseconds after which a browser has failed; it takes a few of them."""


class Served:
    """A model server with its console, as people and programs reach it."""

    def __init__(self, url: str, limiter: Limiter) -> None:
        self.url, self.limiter = url, limiter

    @property
    def console(self) -> str:
        return f"{self.url}/console"

    def call(self, key: str, model: str = "small") -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
        headers = {"authorization": f"Bearer {key}"}
        with httpx.Client(trust_env=False, timeout=60) as client:
            return client.post(f"{self.url}/v1/chat/completions", json=body, headers=headers)

    def account(self, key: str) -> str:
        headers = [(b"authorization", f"Bearer {key}".encode())]
        scope = {"type": "http", "headers": headers, "client": ("127.0.0.1", 0)}
        return self.limiter.caller_for(scope).identity.key


async def _answer(_: Request) -> JSONResponse:
    usage = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}
    return JSONResponse({"object": "chat.completion", "choices": [], "usage": usage})


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    recent = Recent()
    limiter = Limiter(Policy.load(POLICY), hooks=[recent])
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", _answer, methods=["POST"]),
            Mount("/console", console.app(limiter, token=TOKEN, recent=recent, public_read=True)),
        ],
        middleware=[Middleware(QueryBudgetMiddleware, limiter=limiter)],
    )
    with serving(app) as url:
        yield Served(url, limiter)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        message = "there is no chromium (apt-get install chromium)"
        if os.environ.get("QUERYBUDGET_REQUIRE_SERVERS") == "1":
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, **options: Any) -> Generator[Page]:
    """A page of a new visitor; in the end there must be nothing in the browser's own log."""
    said = list[str]()
    context = browser.new_context(**options)
    context.set_default_timeout(WAIT)
    page = context.new_page()

    def note(message: ConsoleMessage) -> None:
        if "status of 404" not in message.text:  # a page that is not there is asked for on purpose
            said.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    context.close()
    assert said == []


@pytest.fixture(scope="module")
def operator(browser: Browser, served: Served) -> Any:
    """The cookies of somebody who has logged in."""
    with opened(browser) as page:
        page.goto(f"{served.console}/login?next=policy")
        page.get_by_label("Your name").fill("ana")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="Policy")).to_be_visible()
        return page.context.storage_state()


@pytest.fixture
def page(browser: Browser, operator: Any) -> Iterator[Page]:
    with opened(browser, storage_state=operator) as page:
        yield page


def test_everything_can_be_read_without_javascript(browser: Browser, served: Served) -> None:
    served.call("sk-reader")
    with opened(browser, java_script_enabled=False) as page:
        page.goto(f"{served.console}/")
        expect(page.get_by_role("row", name="tight 2 requests in any hour")).to_be_visible()
        page.get_by_role("link", name="Calls").click()
        expect(page.get_by_text("Reload this page for newer calls.")).to_be_visible()
        expect(page.get_by_text("Pause")).to_be_hidden()
        page.locator("#calls a[href*='/calls/']").first.click()
        expect(page.get_by_text("It was admitted.")).to_be_visible()
        page.locator("main a[href*='/accounts/']").first.click()
        expect(page.get_by_role("row", name="rpm")).to_contain_text("requests")
        page.get_by_role("link", name="Policy").click()
        expect(page.get_by_role("heading", name="Policy")).to_be_visible()


def test_a_caller_is_blocked_and_let_in_again(page: Page, served: Served) -> None:
    assert served.call("sk-bad").status_code == 200
    page.goto(f"{served.console}/accounts/{served.account('sk-bad')}")
    page.get_by_text("Block", exact=True).first.click()
    form = page.locator("form:has(input[value=block])")
    form.get_by_label("Reason").fill("abuse")
    form.get_by_role("button", name="Block").click()
    expect(page.get_by_role("status")).to_have_text("Blocked: every call is refused from now on.")
    refused = served.call("sk-bad")
    assert refused.status_code == 403
    page.get_by_role("link", name="Overrides", exact=True).click()
    row = page.get_by_role("row", name=served.account("sk-bad")[:8])
    expect(row).to_contain_text("abuse")
    row.get_by_role("button").click()
    expect(page.get_by_role("status")).to_have_text("Removed.")
    assert served.call("sk-bad").status_code == 200
    page.get_by_role("link", name="Audit").click()
    expect(page.get_by_role("row", name="block")).to_contain_text("ana")


def test_a_caller_is_granted_more_and_pardoned(page: Page, served: Served) -> None:
    served.call("sk-friend")
    page.goto(f"{served.console}/accounts/{served.account('sk-friend')}")
    page.get_by_text("Grant more", exact=True).first.click()
    form = page.locator("form:has(input[value=grant])")
    form.get_by_label("Times").fill("3")
    form.get_by_role("button", name="Grant more").click()
    expect(page.get_by_role("status")).to_have_text("Granted.")
    expect(page.get_by_role("row", name="rpm")).to_contain_text("120")
    page.get_by_text("Pardon", exact=True).first.click()
    page.get_by_role("button", name="Pardon").click()
    expect(page.get_by_role("status")).to_contain_text("pardon")


def test_a_shadow_budget_is_enforced_at_the_touch_of_a_button(page: Page, served: Served) -> None:
    assert {served.call("sk-tight").status_code for _ in range(4)} == {200}
    page.goto(f"{served.console}/policy")
    page.get_by_role("button", name="Enforce tight").click()
    expect(page.get_by_role("status")).to_contain_text("The mode is switched")
    try:
        assert served.call("sk-tight").status_code == 429
    finally:
        page.get_by_role("button", name="Only report tight").click()
        expect(page.get_by_role("button", name="Enforce tight")).to_be_visible()
    assert served.call("sk-tight").status_code == 200


def test_calls_arrive_as_they_are_decided_until_one_pauses(page: Page, served: Served) -> None:
    page.goto(f"{served.console}/calls")
    expect(page.get_by_text("Calls appear as they are decided.")).to_be_visible()
    served.call("sk-live", model="<b onclick='x()'>arrives</b>")
    row = page.get_by_role("row", name="<b onclick='x()'>arrives</b>")
    expect(row).to_be_visible()
    expect(row).to_contain_text("admitted")
    expect(page.locator("#calls tr").first).to_contain_text("arrives")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused.")).to_be_visible()
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("Calls appear as they are decided.")).to_be_visible()


def test_the_keyboard_is_enough(browser: Browser, served: Served) -> None:
    served.call("sk-keys")
    with opened(browser) as page:
        _log_in_and_allow(page, served)


def _log_in_and_allow(page: Page, served: Served) -> None:
    page.goto(f"{served.console}/login")
    page.get_by_label("Your name").focus()
    page.keyboard.type("ana")
    page.keyboard.press("Tab")
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_text("Log out")).to_be_visible()
    page.goto(f"{served.console}/accounts/{served.account('sk-keys')}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.locator("summary", has_text="Allow").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "budget"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Allowed")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_a_phone_and_can_be_read(
    browser: Browser, served: Served, operator: Any, scheme: Any
) -> None:
    served.call("sk-phone", model="a-model-with-a-name-that-is-much-too-long-for-a-phone" * 3)
    like: Any = {"viewport": {"width": 390, "height": 844}, "reduced_motion": "reduce"}
    with opened(browser, storage_state=operator, color_scheme=scheme, **like) as page:
        for name in (*PAGES[scheme], f"accounts/{served.account('sk-phone')}"):
            page.goto(f"{served.console}/{name}")
            assert page.evaluate("document.documentElement.scrollWidth") == 390, name
            assert page.evaluate(DULL) == [], name


DULL = """() => {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const light = ([r, g, b]) => {
    const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    return 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  };
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const found = parse(getComputedStyle(node).backgroundColor);
      if (found[3] > 0) return found;
    }
    return [255, 255, 255, 1];
  };
  const dull = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!own || !node.getClientRects().length) continue;
    const [one, other] = [light(parse(getComputedStyle(node).color)), light(ground(node))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < 4.5) dull.push(`${node.tagName} ${node.className} ${contrast.toFixed(2)}`);
  }
  return dull;
}"""
"""The elements whose text has a contrast below 4.5 to 1 (WCAG 2.2, 1.4.3)."""
