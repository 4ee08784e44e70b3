"""`python -m tests.gpu` proves on a real card what tests without one can only predict."""
