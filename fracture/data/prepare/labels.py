"""From what sources say of an image to its one label: classes renamed, findings and readers resolved."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from fracture.data.exclusions import Exclusion
from fracture.data.groups import grouped
from fracture.data.prepare.cells import EMPTY, is_unknown
from fracture.data.prepare.drawn_boxes import together
from fracture.data.prepare.pairs import canonical
from fracture.data.prepare.records import Record

Readers = Literal["agree", "majority"]
KEPT = ("test", "val", "train", "")  # which split counts where rows or copies name several


@dataclass(frozen=True)
class Agreement:
    """What several rows say of the same images.

    Attributes:
        several: images that two rows or more name.
        agreed: those of them that all rows give one label.
        decided: those with more than one label that the majority decided.
        left_out: those with more than one label that are left out.
    """

    several: int = 0
    agreed: int = 0
    decided: int = 0
    left_out: int = 0

    def __str__(self) -> str:
        """One sentence; empty where no image is named twice."""
        if not self.several:
            return ""
        part = f"{self.agreed / self.several:.0%}"
        share = f"{self.agreed:,} of {self.several:,} images that several rows name have one label ({part})"
        if self.agreed == self.several:
            return share
        rest = [f"{self.decided:,} were decided by the majority"] if self.decided else []
        rest += [f"{self.left_out:,} contradict each other and are left out"] if self.left_out else []
        way = "" if self.decided else "; --readers majority takes the label of more than half of the rows"
        return f"{share}, {' and '.join(rest)}{way}"


def label_of(record: Record, mapping: Mapping[str, str], background: str) -> tuple[str, str]:
    """The record's one label after renaming, or empty and the reason.

    Args:
        record: with a label, or with every class that was found.
        mapping: new name by old one; an empty new name leaves a class, or a finding, out.
        background: class of images without a finding, empty if they have none.
    """
    if record.findings is None:
        if is_unknown(record.label) and record.label not in mapping:
            return "", f"its label is {record.label!r}: its class is unknown"
        if record.label in mapping or record.label:
            label = mapping.get(record.label, record.label)
            return label, "" if label else "its class is left out by label_map"
        return "", EMPTY
    if unknown := [one for one in record.findings if is_unknown(one) and one not in mapping]:
        return "", f"its label is {unknown[0]!r}: its class is unknown"
    classes = sorted({new for one in record.findings if (new := mapping.get(canonical(one), mapping.get(one, one)))})
    if len(classes) > 1:
        return "", f"it has findings of several classes: {', '.join(classes)}"
    if classes or background:
        return classes[0] if classes else background, ""
    return "", "it has no finding of a class that is kept (--background NAME gives such images a class)"


def one_label_each(records: Sequence[Record], readers: Readers) -> tuple[list[Record], list[Exclusion], Agreement]:
    """One record a file, however many rows and sources name it.

    Rows of one label become the first of them, with the links of all. Of rows with several labels the majority decides,
    each reader having one vote a label, if the user wants that; else the image is left out.
    """
    kept: list[Record] = []
    excluded: list[Exclusion] = []
    counts: Counter[str] = Counter()
    for path, rows in grouped((record.path, record) for record in records).items():
        label, reason = _decide(rows, readers)
        counts["several"] += len(rows) > 1
        one = len({row.label for row in rows}) == 1
        counts["agreed"] += one and len(rows) > 1
        counts["decided" if label else "left_out"] += not one
        if label:
            kept.append(_joined([row for row in rows if row.label == label], rows))
        else:
            excluded.append(Exclusion(str(path), reason, "", rows[0].source))
    return kept, excluded, Agreement(counts["several"], counts["agreed"], counts["decided"], counts["left_out"])


def _decide(rows: Sequence[Record], readers: Readers) -> tuple[str, str]:
    votes = Counter(label for _, label in {(row.reader or i, row.label) for i, row in enumerate(rows)})
    label, most = votes.most_common(1)[0]
    if len(votes) == 1 or (readers == "majority" and label and 2 * most > votes.total()):
        return label, ""
    if readers == "majority" and not label and 2 * most > votes.total():
        return "", next(row.reason for row in rows if not row.label)
    named = {name or "none that is kept": n for name, n in sorted(votes.items())}
    listed = ", ".join(f"{name} ({n} {'row' if n == 1 else 'rows'})" for name, n in named.items())
    return "", f"its rows give it {len(votes)} labels: {listed}"


def _joined(rows: Sequence[Record], all_rows: Sequence[Record]) -> Record:
    """The first row, in the split that the data keeps for testing if any row says so, linked as all rows are."""
    split = min((row.split for row in all_rows), key=KEPT.index)
    links = tuple(dict.fromkeys(row.patient for row in all_rows if row.patient))
    return replace(
        rows[0], split=split, patient=links[0] if links else "", patients=links[1:],
        drawn=together(row.drawn for row in rows),
    )  # fmt: skip
