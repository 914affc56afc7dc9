"""Hours of mixed traffic with faults, in minutes: what leaks, and whether the ledger balances."""
