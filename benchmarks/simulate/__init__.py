"""What a large deployment needs, from measured costs."""
