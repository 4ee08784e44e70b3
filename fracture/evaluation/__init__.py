"""What a set of logits proves, as plain values and pictures; imports models and below, never a tracker."""
