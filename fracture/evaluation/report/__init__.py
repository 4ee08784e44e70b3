"""report.html: what a run proves, as one page for people."""
