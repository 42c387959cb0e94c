"""What a run leaves: what became of each sample, which of them become rows, and the record of it all."""
