"""The page about the traffic log names each member of a record, and each format."""

from __future__ import annotations

import re
from pathlib import Path

from querybudget.traffic import TrafficRecord
from querybudget.traffic.read import FORMATS

PAGE = (Path(__file__).parents[2] / "docs" / "traffic-log.md").read_text()


def test_the_page_has_each_member_of_a_record_and_no_other() -> None:
    table = PAGE.partition("| Member |")[2]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(named) == sorted(TrafficRecord.__struct_fields__)


def test_the_page_has_each_format() -> None:
    table = PAGE.partition("| `format` |")[2].partition("\n\n")[0]
    assert tuple(re.findall(r"^\| `([\w-]+)`", table, re.MULTILINE)) == FORMATS
