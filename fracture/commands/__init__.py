"""One file a verb of the `fracture` command: parse, call, print; may import everything in fracture."""
