"""A run while it goes on: how far it is, how that is shown, and what a person may do to it."""
