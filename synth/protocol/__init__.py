"""What goes over the wire and what comes back, read into types at once."""
