"""What a run leaves for trainers: rows, refused samples, the dataset card."""
