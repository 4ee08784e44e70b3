"""Pictures of what logits prove: arrays and results in, a matplotlib figure out; one kind of picture a file."""
