"""From a finished run to a deployed model: evidence, gates, candidate, champion; imports fracture, never tuning."""
