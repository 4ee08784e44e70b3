"""Answering with a trained model: bytes in, probabilities out, prepared exactly as in training."""
