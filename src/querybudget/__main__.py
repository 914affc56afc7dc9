"""`python -m querybudget`: the same as the `querybudget` command."""

from __future__ import annotations

import sys

from querybudget.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
