"""Reports of a traffic log or a store, as one HTML page and pictures."""
