"""What may be said of differences: between draws, judges, teachers and versions of a dataset."""
