"""Draw the pictures of the console: a made-up morning of traffic, seen in Chromium.

python docs/images/make_console_pictures.py
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

from querybudget import Limiter, QueryBudgetMiddleware, Usage, console
from querybudget.admin import LocalAdmin
from querybudget.overrides import Effect, Override
from querybudget.policy.model import Policy
from querybudget.testing import (
    FakeModel,
    ManualClock,
    ModelRequest,
    Reply,
    drive,
    http_scope,
    serving,
)
from querybudget.testing import request as body_of
from querybudget.testing.sweeping import sweep
from querybudget.traffic import Recent
from querybudget.units import MICRO, SECOND

Scheme = Literal["light", "dark"]
TARGET = Path(__file__).parent
TOKEN = "a-token-for-these-pictures"  # noqa: S105 - opens nothing
WIDE, NARROW = (1180, 700), (390, 780)
CALLERS, CALLS = 38, 1_400
SWEEPER, BUSY, SHADED = "sk-mirror", "sk-nightly-jobs", "sk-research"
BEGIN = 1_795_593_600 * SECOND  # 2026-11-25 08:00:00

POLICY = """\
# Budgets of the team's gateway
version: 1
secret: ${QUERYBUDGET_SECRET:-only-for-these-pictures}
identity: [api_key]
models:
  small: {input: 0.15, output: 0.60}
  large: {input: 3, output: 15}
budgets:
  - {name: rpm, limit: 30 requests/minute}
  - {name: spend, limit: 1.25 usd/day}
  - {name: tokens, limit: 200k tokens/day, mode: shadow}
  - {name: parallel, limit: 8 concurrent}
  - name: breadth
    limit: 150 buckets/30 days
    mode: enforce
    price: {free: 0.49, cap: 10}
    then: {slow: 0.65, degrade: 0.85, refuse: 1}
"""


class Traffic:
    """Made-up callers of a made-up model, on a clock of their own."""

    def __init__(self, policy: str) -> None:
        self.clock = ManualClock(BEGIN)
        self.recent = Recent()
        self.limiter = Limiter(
            Policy.load(policy), clock=self.clock, hooks=[self.recent], sleep=self._sleep
        )
        self._app = QueryBudgetMiddleware(FakeModel(self._answer), limiter=self.limiter)
        self._drawn = random.Random(12)  # noqa: S311 - made-up traffic
        self._prompts = sweep(500)
        subjects = [self._drawn.sample(self._prompts, 9) for _ in range(CALLERS)]
        self._subjects = dict(zip(self._keys(), subjects, strict=True))

    async def run(self) -> None:
        """Call all morning; then do what an operator does."""
        swept = iter(self._prompts)
        weights = [1 / (place + 2) for place in range(CALLERS)]
        for number in range(CALLS):
            self.clock.advance(self._drawn.expovariate(1) * 7)
            key = self._drawn.choices(list(self._subjects), weights)[0]
            await self._call(key, self._drawn.choice(self._subjects[key]))
            if number % 4 == 0:
                await self._call(SWEEPER, next(swept, "Hello"))
            if number % 300 == 0:
                for _ in range(37):
                    self.clock.advance(0.3)
                    await self._call(BUSY, self._subjects[BUSY][0])
        await self._operate()

    async def _operate(self) -> None:
        admin = LocalAdmin(self.limiter, self.recent)
        accounts = [self._account(key) for key in (BUSY, SHADED)]
        until = self.clock() + 86_400 * SECOND
        grant = Override("", accounts[0], "rpm", factor=2 * MICRO, until=until, by="ana")
        await admin.change(grant, "grant")
        allow = Override("", accounts[1], "tokens", Effect.ALLOW, by="jo", reason="a pilot")
        await admin.change(allow, "allow")
        self.clock.advance(9)

    async def _call(self, key: str, prompt: str) -> None:
        model = self._drawn.choice(["small", "small", "large"])
        messages = [{"role": "user", "content": prompt}]
        body = {"model": model, "max_tokens": 900, "messages": messages}
        await drive(self._app, http_scope("/v1/chat/completions", key=key), body_of(body))

    def _answer(self, request: ModelRequest) -> Reply:
        del request
        size = int(self._drawn.lognormvariate(5.6, 0.9))
        return Reply("It depends.", Usage(input=200 + size, output=min(900, size)))

    def _keys(self) -> list[str]:
        return [BUSY, SHADED, *(f"sk-{number}" for number in range(CALLERS - 2))]

    def _account(self, key: str) -> str:
        return self.limiter.caller_for(http_scope("/", key=key)).identity.key

    async def _sleep(self, seconds: float) -> None:
        self.clock.advance(min(seconds, 0.2))


def main() -> None:
    """Make the traffic, look at it, and keep what is seen."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("policy.yaml").write_text(POLICY)
        traffic = Traffic("policy.yaml")
        asyncio.run(traffic.run())
        app = console.app(traffic.limiter, token=TOKEN, recent=traffic.recent)
        with serving(app) as url, sync_playwright() as playwright:
            chromium = shutil.which("chromium")
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            _pictures(browser, url, traffic._account(SWEEPER))  # noqa: SLF001 - this script's own
            browser.close()


def _pictures(browser: Browser, url: str, sweeper: str) -> None:
    page = _visitor(browser, url, WIDE, "light")
    page.goto(url)
    _keep(page, "overview")
    page.goto(f"{url}/accounts/{sweeper}")
    page.set_viewport_size({"width": WIDE[0], "height": 780})
    _keep(page, "account")
    page = _visitor(browser, url, WIDE, "dark")
    page.goto(f"{url}/calls")
    page.set_viewport_size({"width": WIDE[0], "height": 600})
    page.get_by_text("Calls appear").wait_for()
    _keep(page, "calls")
    page = _visitor(browser, url, NARROW, "light")
    page.goto(f"{url}/accounts/{sweeper}")
    page.locator("#score").scroll_into_view_if_needed()
    page.evaluate("document.querySelector('#score').scrollIntoView()")
    _keep(page, "phone")


def _visitor(browser: Browser, url: str, size: tuple[int, int], scheme: Scheme) -> Page:
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(f"{url}/login")
    page.get_by_label("Your name").fill("ana")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Log in").click()
    page.get_by_text("Log out").wait_for()
    return page


def _keep(page: Page, name: str) -> None:
    page.screenshot(path=TARGET / f"console-{name}.png")


if __name__ == "__main__":
    main()
