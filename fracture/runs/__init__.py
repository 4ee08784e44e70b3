"""A tracked run, from its configuration to its evidence: where data, training, screen and tracker meet."""
