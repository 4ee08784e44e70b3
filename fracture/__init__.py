"""Train, evaluate and serve a bone-fracture classifier; everything that is not tuning or the model registry."""

__version__ = "0.1.0"
