"""The only folder that imports mlflow: the store, a run, its evidence; imports config and errors alone."""
