"""What fits: the memory of a training step, predicted without a GPU, and the plan made of it; imports no tracker."""
