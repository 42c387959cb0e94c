"""What a run will come to, before it is paid for: from a pilot, or from its prompts alone."""
