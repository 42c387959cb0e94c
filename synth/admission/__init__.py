"""How many requests may be out at once, and how fast: limits, read and found."""
