"""Draws the pictures of docs/report.md: `python docs/images/make_report_pictures.py`."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from querybudget.report.log_report import log_page  # noqa: E402 - found by the line above
from querybudget.report.page import write  # noqa: E402
from tests.report.sample_log import policy, write_log  # noqa: E402


def main() -> None:
    """Make a log and its report, and keep two of the pictures."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "traffic.jsonl"
        asyncio.run(write_log(log, policy(), sweep=400))
        write(log_page(log, policy()), Path(folder))
        for name in ("map", "score"):
            shutil.copy(Path(folder) / f"{name}.png", HERE / f"report-{name}.png")


if __name__ == "__main__":
    main()
