"""What the worst bodies cost, as a multiple of parsing them with `json.loads`."""
