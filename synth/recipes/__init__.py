"""The run as one document: its recipe, templates and seeds, read and checked before the first request."""
