"""The `querybudget` command."""
