"""Replaying a tape on an allocator: the peak, and what it is made of."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from fracture.training.memory.allocators import Allocator, Block
from fracture.training.memory.dry_run import Tape
from fracture.training.memory.spec import PARTS


@dataclass
class Player:
    """Plays a tape and notes the peak.

    Attributes:
        peak: bytes allocated at the peak.
        reserved: bytes that the allocator held at most.
        parts: bytes of each part at the peak, without rounding.
        phase: where the peak was.
    """

    tape: Tape
    allocator: Allocator
    peak: int = 0
    reserved: int = 0
    parts: dict[str, int] = field(default_factory=dict)
    phase: str = ""
    _now: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    _blocks: dict[int, Block | None] = field(default_factory=dict)

    def play(self, events: Iterable[int], phase: str) -> None:
        """Take and give back as the events say."""
        for event in events:
            number = abs(event) - 1
            if event < 0:
                self._give(number, self._blocks.pop(number))
            else:
                self._blocks[number] = self._take(number, phase)

    def play_again(self, events: Iterable[int], phase: str) -> None:
        """Play a backward pass while its gradients are there: each new one is added to the old one and given back."""
        held: tuple[int, Block | None] | None = None
        for event in events:
            if held is not None:
                self._give(*held)
                held = None
            number = abs(event) - 1
            if event > 0 and number in self._blocks:
                held = number, self._take(number, phase)
            else:
                self.play((event,), phase)
        if held is not None:
            self._give(*held)

    def _take(self, number: int, phase: str) -> Block | None:
        block = self.allocator.take(self.tape.sizes[number])
        self._now[self.tape.kinds[number]] += self.tape.sizes[number]
        self.reserved = max(self.reserved, self.allocator.reserved)
        if self.allocator.allocated > self.peak:
            self.peak, self.parts, self.phase = self.allocator.allocated, dict(self._now), phase
        return block

    def _give(self, number: int, block: Block | None) -> None:
        self.allocator.give(block)
        self._now[self.tape.kinds[number]] -= self.tape.sizes[number]


def play_steps(tape: Tape, allocator: Allocator, accumulation: bool) -> Player:
    """Two steps, for the first one makes the optimiser's state; with ``accumulation`` two micro-batches each."""
    player = Player(tape, allocator)
    player.play(tape.model, "model")
    later = [event for event in tape.update if tape.kinds[abs(event) - 1] != "optimiser"]
    for update in (tape.update, later):
        player.play(tape.forward, "forward")
        player.play(tape.backward, "backward")
        if accumulation:
            player.play(tape.forward, "forward")
            player.play_again(tape.backward, "backward")
        player.play(update, "update")
    return player


def play_evaluation(tape: Tape, allocator: Allocator) -> Player:
    """An evaluation batch beside the state of training."""
    player = Player(tape, allocator)
    player.play(tape.model, "model")
    player.play(tape.update, "model")
    player.play(tape.forward, "evaluation")
    return player
