"""What a server counts, in the text format of Prometheus."""

import threading
from collections import Counter

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds


class Counters:
    """Requests by status, images, and seconds until the answer; safe from any thread."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._lock = threading.Lock()
        self._statuses: Counter[int] = Counter()
        self._buckets: Counter[float] = Counter()
        self._images, self._bad, self._seconds = 0, 0, 0.0

    def request(self, status: int, seconds: float) -> None:
        """Count one request for predictions."""
        with self._lock:
            self._statuses[status] += 1
            self._seconds += seconds
            self._buckets.update(bound for bound in BOUNDS if seconds <= bound)

    def images(self, count: int, bad: int) -> None:
        """Count images, of which ``bad`` could not be read."""
        with self._lock:
            self._images += count
            self._bad += bad

    def page(self, waiting: int) -> str:
        """All figures."""
        with self._lock:
            total = sum(self._statuses.values())
            buckets = [f'fracture_request_seconds_bucket{{le="{b}"}} {self._buckets[b]}' for b in BOUNDS]
            return "\n".join([
                "# TYPE fracture_requests_total counter",
                *(f'fracture_requests_total{{status="{s}"}} {n}' for s, n in sorted(self._statuses.items())),
                "# TYPE fracture_images_total counter", f"fracture_images_total {self._images}",
                "# TYPE fracture_bad_images_total counter", f"fracture_bad_images_total {self._bad}",
                "# TYPE fracture_waiting_requests gauge", f"fracture_waiting_requests {waiting}",
                "# TYPE fracture_request_seconds histogram", *buckets,
                f'fracture_request_seconds_bucket{{le="+Inf"}} {total}',
                f"fracture_request_seconds_sum {self._seconds:.6f}", f"fracture_request_seconds_count {total}", "",
            ])  # fmt: skip
