"""Whether data deserves to be trained on: seven questions, their evidence and a page."""
