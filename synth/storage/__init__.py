"""What a run keeps: attempts, raw replies and the ledger in one SQLite file, and what guards that file."""
