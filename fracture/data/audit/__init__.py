"""Whether data deserves to be trained on: eight questions, their evidence and a page."""
