"""A run through time: where it begins, the loop, its checkpoints and records, and how the page starts and watches it."""
