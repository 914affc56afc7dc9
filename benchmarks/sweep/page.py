"""The result as one page that needs nothing else: tables, and the picture inside it."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.sweep.report import Table, tables

__all__ = ["write_page"]

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 78rem;
  padding: 0 1rem; color: #202124; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2.2rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .6rem; text-align: left; border-bottom: 1px solid #e3e5e8;
  vertical-align: top }
th { background: #f4f5f7 } td.met { color: #137333 } td.not { color: #b3261e; font-weight: 600 }
img { max-width: 100% } footer, p { color: #5f6368; font-size: 13px }
"""


def write_page(result: Mapping[str, Any], picture: Path | None, path: Path) -> None:
    """Write the page.

    Args:
        result: As written in JSON.
        picture: The plots as PNG; None leaves them out.
        path: Where the page goes.
    """
    meta, honest = result["meta"], result["honest"]
    callers = honest["strict"]["identities"] + honest["gateway"]["identities"]
    shown = "".join(_section(table) for table in tables(result))
    image = ""
    if picture is not None:
        data = b64encode(picture.read_bytes()).decode()
        image = f'<img alt="The figures below, drawn" src="data:image/png;base64,{data}">'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Coverage budgets on real prompts</title><style>{_STYLE}</style>"
        "<h1>Coverage budgets on real prompts</h1>"
        f"<p>{callers} honest identities and {len(result['sweeps'])} sweeps through the real"
        f" limiter on a virtual clock, policy {escape(meta['policy'])}, size"
        f" {escape(meta['size']['name'])}, made {escape(meta['made'])} in {meta['seconds']:.0f} s."
        " No observational defence is provably sound: read what a sweep costs together with how"
        " many honest callers are disturbed.</p>"
        f"{image}{shown}<h2>Made with</h2><pre>{escape(json.dumps(meta, indent=1))}</pre></html>\n"
    )


def _section(table: Table) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.head)
    rows = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in table.rows)
    wide = f"<table><tr>{head}</tr>{rows}</table>"
    return f'<h2>{escape(table.title)}</h2><div class="wide">{wide}</div>'


def _cell(text: str) -> str:
    mark = {"met": ' class="met"', "not met": ' class="not"'}.get(text, "")
    return f"<td{mark}>{escape(text)}</td>"
