"""Requests that can wait: a host's batches at half price, and the journal of their steps."""
