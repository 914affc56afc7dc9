"""What an operator does while the server runs: look at accounts, change limits, pardon, forget."""
