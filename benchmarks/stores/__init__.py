"""What each store costs and keeps, next to other limiters on the same Redis server."""
