"""Figures for Prometheus: read by the real parsers of both formats, true, and all that the dashboard asks for."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from fracture.inference.counters import Counters
from fracture.inference.log import Served
from fracture.inference.predictor import Answer

OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"
DASHBOARD = Path(__file__).resolve().parents[2] / "docs" / "grafana.json"
Found = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class OneLog:
    """A log that has lost a row."""

    def put(self, *_: object) -> None:
        raise NotImplementedError

    def health(self) -> dict[str, object]:
        return {"ok": False, "written": 5, "waiting": 2, "lost": 1, "problem": "No space left on device"}


def counted() -> Counters:
    counters = Counters(OneLog())
    counters.watch(lambda: 3)
    counters.request(200, 0.2)
    counters.request(429, 0.01)
    served = Served("bönes", 'a"b\\c\n', "w" * 64)
    counters.now(Served("bönes", "1", "v" * 64), changed=False)
    counters.now(served, changed=True)
    counters.watch_follower(lambda: True)
    said = [Answer(error="x"), Answer("fracture reported", "a", probabilities={"a": 0.97, "b": 0.03})]
    counters.answers(said, served)
    return counters


def read(accept: str) -> Found:
    page, kind = counted().page(accept)
    assert kind.startswith(accept.split(";")[0] or "text/plain")
    families = (read_openmetrics if accept else read_text)(page.decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value for one in families for sample in one.samples
    }


@pytest.mark.parametrize("accept", ["", OPEN], ids=["text", "OpenMetrics"])
def test_real_parsers_read_true_figures(accept: str) -> None:
    found = read(accept)
    own = (("model", "bönes"), ("version", 'a"b\\c\n'))
    assert found["fracture_requests_total", (("status", "200"),)] == 1
    assert found["fracture_request_seconds_bucket", (("le", "0.25"),)] == 2
    assert found["fracture_request_seconds_bucket", (("le", "0.1"),)] == 1
    assert found["fracture_request_seconds_sum", ()] == pytest.approx(0.21)
    assert found["fracture_answers_total", (("decision", "fracture reported"), *own)] == 1
    assert found["fracture_answers_total", (("decision", "a person must look"), *own)] == 1
    assert found["fracture_confidence_bucket", (("le", "0.95"), *own)] == 0
    assert found["fracture_confidence_bucket", (("le", "0.99"), *own)] == 1
    assert (found["fracture_images_total", ()], found["fracture_bad_images_total", ()]) == (2, 1)
    assert found["fracture_waiting_requests", ()] == 3
    assert [pairs for name, pairs in found if name == "fracture_model"] == [(*own, ("weights", "w" * 12))]
    assert (found["fracture_model_changes_total", ()], found["fracture_follow_failing", ()]) == (1, 1)
    assert [found[f"fracture_log_{n}", ()] for n in ("rows_total", "lost_rows_total", "waiting_rows", "failing")] == [
        5, 1, 2, 1,
    ]  # fmt: skip
    if Path("/proc/self/stat").exists():
        assert found["process_resident_memory_bytes", ()] > 2**20


def test_the_dashboard_asks_only_for_what_there_is() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    asked = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    found = read("")
    names = {name for name, _ in found} | {"process_resident_memory_bytes"}
    assert set(re.findall(r"(?:fracture|process)_\w+", asked)) <= names
    labels = {label for _, pairs in found for label, _ in pairs} | {"instance"}
    by = re.findall(r"by \(([^)]*)\)", asked) + re.findall(r"\{(\w+)=", asked)
    assert {one.strip() for part in by for one in part.split(",")} <= labels
    assert 'decision="a person must look"' in asked
    shown = re.findall(r"\{\{(\w+)\}\}", json.dumps(dashboard))
    assert set(shown) <= labels
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
