"""What querybudget costs, next to other limiters and to nothing at all."""
