"""Near-duplicates: signatures of images, candidates by index, verified pairs, kept by content hash."""
