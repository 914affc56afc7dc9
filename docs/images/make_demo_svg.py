"""Draw docs/images/demo.svg: the last screen of `querybudget demo`.

python docs/images/make_demo_svg.py
"""

from __future__ import annotations

import asyncio
import io
import re
from pathlib import Path

from rich.console import Console

from querybudget.demo import POLICY
from querybudget.demo.screen import screen
from querybudget.demo.show import play
from querybudget.policy.model import Policy


def main() -> None:
    """Run the demo, and keep its last screen."""
    board = asyncio.run(play(Policy.load(POLICY), 6))
    console = Console(record=True, width=96, file=io.StringIO())
    console.print(screen(board, "127.0.0.1"))
    target = Path(__file__).with_name("demo.svg")
    drawn = console.export_svg(title="querybudget demo")
    # A picture asks nothing of anyone: the fonts that rich names lie on somebody's server.
    target.write_text(re.sub(r"@font-face\s*\{.*?\}\s*", "", drawn, flags=re.DOTALL))


if __name__ == "__main__":
    main()
