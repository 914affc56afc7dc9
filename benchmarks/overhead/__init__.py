"""Cost of querybudget, compared with other limiters and with no limiter."""
