"""The story of one run: what fits, what is fast, epochs, state; imports evaluation and below, never a tracker."""
