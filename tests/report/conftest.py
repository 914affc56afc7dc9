from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from querybudget.admin import LocalAdmin
from querybudget.report.log_report import log_page
from querybudget.report.page import write
from querybudget.report.store_report import store_page
from tests.report.html_page import Html
from tests.report.sample_log import policy, write_log


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders with the report of a log with prompts, and of the store that it left."""
    log, store = tmp_path_factory.mktemp("log"), tmp_path_factory.mktemp("store")
    path = log / "traffic.jsonl"

    async def stored() -> None:
        limiter = await write_log(path, policy())
        codebook = getattr(limiter.analyzer, "codebook", None)
        write(await store_page("redis://cache", LocalAdmin(limiter), codebook), store)

    asyncio.run(stored())
    with path.open("ab") as file:
        file.write(b'{"at": "yesterday"}\n<script>alert(1)</script>\n')
    write(log_page(path, policy()), log)
    return log, store


@pytest.fixture(scope="session")
def log_report(reports: tuple[Path, Path]) -> Html:
    return Html(reports[0] / "report.html")


@pytest.fixture(scope="session")
def store_report(reports: tuple[Path, Path]) -> Html:
    return Html(reports[1] / "report.html")
