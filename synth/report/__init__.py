"""A run as one static page: no network, no script, readable in light, dark and print."""
