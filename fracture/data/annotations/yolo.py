"""YOLO: a text file for each image, one line an annotation, a class id and shares of the image.

Format: https://docs.ultralytics.com/datasets/detect. A line is ``class x y width height`` with the box's centre,
perhaps with a confidence behind, or ``class x1 y1 x2 y2 x3 y3 ...`` of a polygon. The file has the image's name; it
lies in ``labels`` where the image lies in ``images``, beside the image, or anywhere if only one can be meant. An empty
file says that there is nothing; so does a missing one where other images of the folder, or of a folder that
``data.yaml`` names, have one.
"""

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fracture.data.annotations.annotated import Annotated, Draft
from fracture.data.annotations.files import MIB, Unreadable, read_text
from fracture.data.annotations.matching import Images, Match
from fracture.data.annotations.shares import Edges, Unusable, around, from_shares, number, short
from fracture.data.annotations.yolo_names import Catalogue, ClassNames, is_list, read_names

KIND = "YOLO"
_LIMIT = 4 * MIB


@dataclass(frozen=True)
class _LabelFile:
    """A text file that has an image's name; ``text`` is None and ``problem`` says why where it cannot be read."""

    file: str
    match: Match
    text: str | None
    problem: str = ""


def read(root: Path, images: Images, others: Sequence[str]) -> Annotated | None:
    """The YOLO annotations among ``others``, None where there are none; other text files are passed over."""
    texts = [file for file in others if file.lower().endswith(".txt") and not is_list(file)]
    by_folder: dict[str, list[_LabelFile]] = defaultdict(list)
    orphans: list[tuple[str, Match]] = []
    for file in texts:
        match = _match(file, images)
        if match.image or match.among:
            by_folder[posixpath.dirname(file)].append(_open(root, file, match))
        else:
            orphans.append((file, match))
    catalogue = read_names(root, images, others)
    folders = _label_folders(by_folder, catalogue)
    if not folders:
        return None
    draft = Draft(KIND)
    for file, reason in catalogue.problems:
        draft.problem(file, reason)
    used = [names for folder in folders if (names := _read_folder(folder, by_folder[folder], catalogue, draft))]
    doubtful = _report_orphans(root, orphans, draft)
    paired = {folder: [one.match.image for one in by_folder[folder] if one.match.image] for folder in folders}
    return _finished(draft, images, paired, doubtful, used)


def _match(file: str, images: Images) -> Match:
    folder, name = posixpath.split(file)
    for beside in _parallel(folder):
        if images.inside(beside):  # where the parallel folder is there, no other is meant
            return images.match_in(beside, posixpath.splitext(name)[0])
    return images.of_file(file)


def _parallel(folder: str) -> list[str]:
    """The folders of images that a folder of labels belongs to: its last ``labels`` is ``images`` there."""
    parts = folder.split("/")
    last = next((i for i in reversed(range(len(parts))) if parts[i].lower() == "labels"), None)
    if last is None:
        return []
    return ["/".join([*parts[:last], word, *parts[last + 1 :]]) for word in ("images", "Images")]


def _open(root: Path, file: str, match: Match) -> _LabelFile:
    try:
        return _LabelFile(file, match, read_text(root / file, _LIMIT))
    except Unreadable as error:
        return _LabelFile(file, match, None, str(error))


def _label_folders(by_folder: dict[str, list[_LabelFile]], catalogue: Catalogue) -> list[str]:
    """The folders of label files: most of their files read like it; then those of empty files too."""
    found: dict[str, bool | None] = {}
    named = bool(catalogue.found)
    for folder, files in by_folder.items():
        filled = [one.text for one in files if one.text and one.text.strip()]
        if not filled and all(one.text is not None for one in files):
            found[folder] = None
        else:
            alike = 2 * sum(_looks_like_labels(text) for text in filled) > len(filled)
            found[folder] = alike or (named and "labels" in folder.lower().split("/"))
    sure = any(found.values()) or (named and any("labels" in folder.lower().split("/") for folder in found))
    return [folder for folder, is_one in found.items() if is_one or (is_one is None and sure)]


def _looks_like_labels(text: str) -> bool:
    """Whether the first line is a class id and four numbers or more."""
    tokens = next((line.split() for line in text.splitlines() if line.strip()), [])
    try:
        _class_id(tokens[0] if tokens else "")
        return len([number(token) for token in tokens[1:]]) >= 4
    except Unusable:
        return False


def _read_folder(folder: str, files: Sequence[_LabelFile], catalogue: Catalogue, draft: Draft) -> ClassNames | None:
    """Read the label files of a folder; the names that were used for it."""
    try:
        names = catalogue.of(folder)
    except Unusable as error:
        draft.problem(folder or ".", str(error), images=[image for one in files for image in _meant(one.match)])
        return None
    if names:
        draft.read(names.file)
    else:
        draft.notes.append(
            f"no file (data.yaml, classes.txt, obj.names) names the classes of {folder or '.'}: "
            "they are called class 0, class 1 and so on"
        )
    for one in files:
        draft.read(one.file)
        if not one.match.image:
            reason = f"{one.match.reason}: {', '.join(one.match.among[:3])}"
            draft.problem(one.file, reason, images=one.match.among)
        elif one.text is None:
            draft.problem(one.file, one.problem, images=[one.match.image])
        else:
            _read_lines(one.file, one.match.image, one.text, names, draft)
    return names


def _meant(match: Match) -> tuple[str, ...]:
    return (match.image,) if match.image else match.among


def _read_lines(file: str, image: str, text: str, names: ClassNames | None, draft: Draft) -> None:
    draft.mention(file, image)
    for line_number, line in enumerate(text.splitlines(), start=1):
        tokens = line.split()
        if not tokens:
            continue
        try:
            label = _label(tokens[0], names)
            edges = _edges([number(token) for token in tokens[1:]], names is not None and names.keypoints)
            draft.add(file, image, label, from_shares(label, edges))
        except Unusable as error:
            draft.problem(file, str(error), line_number, [image])


def _label(token: str, names: ClassNames | None) -> str:
    class_id = _class_id(token)
    if names is None:
        return f"class {class_id}"
    if class_id not in names.names:
        raise Unusable(f"its class id has no name in {names.file}: {class_id}")
    return names.names[class_id]


def _class_id(token: str) -> int:
    value = number(token, "its class id")
    if value < 0 or value != int(value) or value > 1_000_000:
        raise Unusable(f"its class id is no whole number from 0: {short(token)}")
    return int(value)


def _edges(values: list[float], keypoints: bool) -> Edges:
    """The edges of a line's box, or of the box around its polygon."""
    if len(values) in (4, 5) or (keypoints and len(values) > 5):
        x, y, width, height = values[:4]
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2
    if len(values) < 4:
        raise Unusable(f"it has too few numbers: {len(values)} behind the class id")
    return around(values)


def _report_orphans(root: Path, orphans: Iterable[tuple[str, Match]], draft: Draft) -> set[str]:
    """Report label files without an image, and return their folders; what does not read like labels is none."""
    found: set[str] = set()
    for file, match in orphans:
        try:
            text = read_text(root / file, _LIMIT)
        except Unreadable:
            continue
        if _looks_like_labels(text):
            draft.without_image(file, match)
            found.add(posixpath.dirname(file))
    return found


def _finished(
    draft: Draft, images: Images, paired: Mapping[str, Sequence[str]], doubtful: set[str], used: Iterable[ClassNames]
) -> Annotated | None:
    """The set, with the images that have no label file where others have one.

    Where label files found no image, an image without one may be theirs: nothing is taken for granted there.
    """
    sure = frozenset(image for folder, found in paired.items() if folder not in doubtful for image in found)
    unsure = frozenset(image for folder in doubtful for image in paired.get(folder, ()))
    groups = [frozenset(images.inside(place)) for place in dict.fromkeys(posixpath.dirname(image) for image in sure)]
    groups += [declared for names in used for declared in names.declared if declared & sure]
    found = draft.finish(image for group in groups if not group & unsure for image in group)
    if found and found.assumed:
        count = f"{len(found.assumed):,} of {len(found.findings):,} images"
        note = f"{count} have no label file and count as without finding, as YOLO has it"
        return replace(found, notes=(*found.notes, note))
    return found
