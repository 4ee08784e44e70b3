"""An Optuna study of learning rate and batch size that cannot run out of memory; imports fracture, never registry."""
