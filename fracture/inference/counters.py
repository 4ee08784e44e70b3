"""What a server counts, for Prometheus: in its text format, or in OpenMetrics where that is requested."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fracture.inference.log import Log, Served
from fracture.inference.predictor import Answer

SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
CONFIDENCE = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
disable_created_metrics()  # type: ignore[no-untyped-call]  # a line more for each series, which nobody reads


class Counters:
    """Requests by status, answers by decision, confidence, seconds, the queue, the log, and the process's memory."""

    def __init__(self, log: Log | None = None) -> None:
        """Begin at zero.

        Args:
            log: whose health is told.
        """
        self._registry = own = CollectorRegistry()
        names = ("model", "version")
        self._model = Gauge("fracture_model", "1 for the version that answers now.", [*names, "weights"], registry=own)
        self._changes = Counter("fracture_model_changes", "How often another version was loaded.", registry=own)
        self._requests = Counter("fracture_requests", "Requests for predictions.", ["status"], registry=own)
        self._seconds = Histogram(
            "fracture_request_seconds", "Time until the whole answer was sent.", buckets=SECONDS, registry=own
        )  # fmt: skip
        self._images = Counter("fracture_images", "Images that were answered.", registry=own)
        self._bad = Counter("fracture_bad_images", "Images that could not be read.", registry=own)
        self._answers = Counter("fracture_answers", "Answers.", [*names, "decision"], registry=own)
        self._confidence = Histogram(
            "fracture_confidence", "Largest probability of an answer.", names, buckets=CONFIDENCE, registry=own
        )
        self._waiting = Gauge("fracture_waiting_requests", "Requests that wait for the model.", registry=own)
        if log is not None:
            own.register(_OfLog(log))
        ProcessCollector(registry=own)  # process_resident_memory_bytes and the like, where the system tells them

    def watch(self, waiting: Callable[[], int]) -> None:
        """Tell from now on how many requests wait."""
        self._waiting.set_function(waiting)

    def watch_follower(self, failing: Callable[[], bool]) -> None:
        """Tell from now on whether another version cannot be taken up."""
        gauge = Gauge("fracture_follow_failing", "1 if another version cannot be loaded.", registry=self._registry)
        gauge.set_function(failing)

    def now(self, served: Served, *, changed: bool) -> None:
        """Tell from now on which model answers."""
        self._model.clear()
        self._model.labels(served.name, served.version, served.weights[:12]).set(1)
        self._changes.inc(changed)

    def request(self, status: int, seconds: float) -> None:
        """Count one request for predictions."""
        self._requests.labels(str(status)).inc()
        self._seconds.observe(seconds)

    def answers(self, answers: Sequence[Answer], served: Served) -> None:
        """Count what a model said of some images."""
        labels = served.name, served.version
        for answer in answers:
            self._images.inc()
            self._bad.inc(bool(answer.error))
            self._answers.labels(*labels, answer.decision).inc()
            if answer.probabilities:
                self._confidence.labels(*labels).observe(max(answer.probabilities.values()))

    def page(self, accept: str = "") -> tuple[bytes, str]:
        """All figures in the format that is requested, and its content type.

        Args:
            accept: the header of whoever asks.
        """
        encode, kind = choose_encoder(accept)
        return encode(self._registry), kind


class _OfLog(Collector):
    """The health of a log, read when somebody looks."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def collect(self) -> Iterable[Metric]:
        """Rows and whether they arrive."""
        return self._found()

    def _found(self) -> Iterator[Metric]:
        known = {name: value for name, value in self._log.health().items() if isinstance(value, int)}
        yield CounterMetricFamily("fracture_log_rows", "Answers in the log.", known["written"])
        yield CounterMetricFamily("fracture_log_lost_rows", "Answers that could not be logged.", known["lost"])
        yield GaugeMetricFamily("fracture_log_waiting_rows", "Answers that wait to be logged.", known["waiting"])
        yield GaugeMetricFamily("fracture_log_failing", "1 if answers cannot be logged.", int(not known["ok"]))
