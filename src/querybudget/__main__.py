"""`python -m querybudget` is the `querybudget` command."""

from __future__ import annotations

import sys

from querybudget.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
