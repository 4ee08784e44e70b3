"""What MLflow asks for the experiment where the user names none.

An entry point tells MLflow of it, which loads this file while it is itself being imported: so nothing else is needed
at the top, and whoever imports this file imports mlflow first.
"""

from mlflow.tracking.default_experiment.abstract_context import DefaultExperimentProvider


class OwnExperiment(DefaultExperimentProvider):  # type: ignore[misc]
    """The project's own experiment, for its commands and for ``mlflow run`` of it."""

    def in_context(self) -> bool:
        """Whether this process is one of these."""
        from fracture.tracking import experiment

        return experiment.is_settled() or experiment.is_asked_to_run()

    def get_experiment_id(self) -> str:
        """The id of the experiment, which is made where it is not there yet."""
        from fracture.tracking import experiment

        return experiment.own()
