"""One model that many call: requests wait in a short queue and are answered together."""

import contextlib
import itertools
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from fracture.inference.predictor import Answer, Predictor, Prepared


@dataclass(frozen=True)
class _Request:
    predictor: Predictor
    images: Sequence[Prepared]
    answers: "Future[list[Answer]]"


class Batcher:
    """Answers requests in one thread, as many of one model together as fit its batch.

    Args:
        waiting: requests that may wait; one more is refused.
    """

    def __init__(self, waiting: int) -> None:
        """Begin to answer."""
        self._queue: queue.Queue[_Request | None] = queue.Queue(waiting)
        self._thread = threading.Thread(target=self._work, name="answers", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """Requests that wait."""
        return self._queue.qsize()

    @property
    def alive(self) -> bool:
        """Whether somebody answers."""
        return self._thread.is_alive()

    def ask(self, predictor: Predictor, images: Sequence[Prepared]) -> "Future[list[Answer]]":
        """Wait in line for the answers of a model to ``images`` that it has prepared, in order.

        Raises:
            queue.Full: too many wait already.
        """
        request = _Request(predictor, images, Future())
        self._queue.put_nowait(request)
        return request.answers

    def close(self) -> None:
        """Answer those who wait, then stop."""
        while self.alive:
            with contextlib.suppress(queue.Full):  # a full line moves on
                self._queue.put(None, timeout=0.1)
                break
        self._thread.join()

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            together, last = [first], False
            while sum(len(one.images) for one in together) < first.predictor.batch_size and not self._queue.empty():
                following = self._queue.get()
                if following is None:
                    last = True
                    break
                together.append(following)
            for predictor, own in itertools.groupby(together, lambda one: one.predictor):
                self._answer(predictor, list(own))
            if last:
                return

    def _answer(self, predictor: Predictor, waiting: Sequence[_Request]) -> None:
        together = [one for one in waiting if one.answers.set_running_or_notify_cancel()]  # the rest were given up
        try:
            found = predictor.answer([image for one in together for image in one.images])
        except Exception as error:  # noqa: BLE001 - the thread answers the next ones; who called is told
            for one in together:
                one.answers.set_exception(error)
            return
        for one in together:
            one.answers.set_result(found[: len(one.images)])
            found = found[len(one.images) :]
