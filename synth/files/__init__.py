"""The parts of a run on their own, for dataset files that exist already."""
