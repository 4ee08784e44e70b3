"""What file names tell of the original image that a file was made from."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from fracture.data.formats import SUFFIXES

MOST_COPIES = 0.25  # share of a class that one original may have; beyond it the names are running numbers or dates
_FEW = 10  # files that may share an original whatever their share: a data set of a few originals

# what augmentation tools and people put before or after the name of the original, in any case, joined by space _ - or .
_WORDS = (
    r"(?:(?:random|high|low|increased?|decreased?)[ _-]?)?(?:"
    r"flip[ _-]?(?:vertical(?:ly)?|horizontal(?:ly)?|both|lr|ud|v|h)|(?:vertical|horizontal|v|h)[ _-]?flip(?:ped)?"
    r"|flip(?:ped)?|mirror(?:ed)?|rotat(?:e|ed|ion)(?:[ _-]?(?:left|right|cw|ccw))?|rot|transposed?|affine|perspective"
    r"|shift(?:ed)?|translat(?:e|ed|ion)|scal(?:e|ed|ing)|resized?|zoom(?:ed)?(?:[ _-]?(?:in|out))?|shear(?:ed)?"
    r"|(?:center|centre)?[ _-]?crop(?:ped)?|shift[ _-]?scale[ _-]?rotate|elastic(?:[ _-]?(?:transform|deformation))?"
    r"|(?:grid|optical)[ _-]?distortion|bright(?:ness|er|en|ened)?(?:[ _-]?contrast)?|dark(?:er|en|ened)?"
    r"|contrast(?:ed)?|gamma|colou?r[ _-]?jitter|(?:gauss(?:ian)?[ _-]?)?nois(?:e|ed|y)|salt[ _-]?(?:and[ _-]?)?pepper"
    r"|(?:gauss(?:ian)?|median|motion)?[ _-]?blur(?:red)?|sharpen(?:ed)?|equali[sz]ed?|clahe|invert(?:ed)?"
    r"|coarse[ _-]?dropout|cutout|compress(?:ed)?|aug(?:ment(?:ed|ation)?)?|imgaug|albumentations?|original|copy|kopie"
    r")"
)
_AMOUNT = r"[+-]?\d{1,3}(?:\.\d+)?(?:deg(?:rees)?)?(?!\d)"  # a longer number is a date or an id
_NUMBER = rf"(?:[ _.-]*(?:{_AMOUNT}|\({_AMOUNT}\)))?"
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)(?:[a-z]{3,6})?"
_YEAR = r"(?:19|20)\d\d"
_SEP = r"[ _.,-]*"
_DATE = re.compile(  # 2021-Aug-03, 03 August 2021, Aug 3, 2021, Aug2021
    rf"(?<![a-z]){_YEAR}{_SEP}{_MONTH}(?![a-z])|(?<![a-z]){_MONTH}{_SEP}(?:\d{{1,2}}{_SEP})?{_YEAR}(?!\d)",
    re.IGNORECASE,
)
_DAY_OF_MONTH = re.compile(  # 03-Sep-21: that these files carry dates shows in the months that are no word for a copy
    rf"\d{_SEP}(?!aug){_MONTH}(?![a-z])|(?<![a-z])(?!aug){_MONTH}{_SEP}\d", re.IGNORECASE
)
_AUGUST = re.compile(r"aug(?:ust)?(?![a-z])", re.IGNORECASE)
_UUID = r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}"
_LABEL_STUDIO = r"(?=[0-9]*[a-f])[0-9a-f]{8}(?=-)"  # eight digits without a letter are more likely a date
_GENERIC = re.compile(
    r"(?:images?|img|pictures?|photos?|scan|x[ _-]?ray|view|frame|slice|download|untitled|ap|pa|lat|lateral)?"
    r"[ _(-]*\d{0,5}\)?",
    re.IGNORECASE,
)
_AUGMENTOR = re.compile(r"^.+_original_(.+?)(?:\.\w{3,4})?_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE)
_KERAS = re.compile(r"_\d{1,6}_\d{1,8}$")  # ImageDataGenerator: <prefix>_<index>_<random number>
_MARKS = {  # rule: what it takes off
    "the ending that Roboflow adds": re.compile(
        r"(?:_(?:jpe?g|png|bmp|tiff?|webp|gif))?\.rf\.[0-9a-z]{16,64}$", re.IGNORECASE
    ),
    "a unique id at the end": re.compile(rf"(?<=.)[_-]+{_UUID}$", re.IGNORECASE),
    "a word for a copy at the end": re.compile(rf"[ _.-]+(?:{_WORDS}|\({_WORDS}\)){_NUMBER}$", re.IGNORECASE),
    "a word for a copy at the beginning": re.compile(rf"^(?:{_WORDS}{_NUMBER}[ _-]+)(?=.*[0-9a-z])", re.IGNORECASE),
    "a unique id at the beginning": re.compile(rf"^(?:{_UUID}|{_LABEL_STUDIO})[_-]+(?=.)", re.IGNORECASE),
}
_BY_UUID = ("a unique id at the end", "a unique id at the beginning")


@dataclass(frozen=True, slots=True)
class Original:
    """The original image of one file.

    Attributes:
        key: the same for files that were made from one original.
        rule: what the name lost on the way, in words; empty where it is the name itself.
    """

    key: str
    rule: str = ""


def stem_of(path: str) -> str:
    """The file's name without its suffix, where that is one of an image: the last number of a UID is none."""
    name = os.path.basename(path)  # noqa: PTH119 - Path is slow for a million files
    stem, suffix = os.path.splitext(name)  # noqa: PTH122
    return stem if suffix.lower() in SUFFIXES else name


def original_stem(stem: str, known: frozenset[str] = frozenset(), dated: bool = False) -> str:
    """The stem of the original image: every known mark of a tool is taken off, one after the other.

    Roboflow, Augmentor, Label Studio, Keras, and the words that people give to copies made by albumentations, imgaug,
    OpenCV and image editors are known. Keras's two numbers may as well be a patient and a view, so they are taken off
    only where the shorter stem is in ``known``, the stems of the files beside this one; so is a unique id where what is
    left is no name of one image, as ``wrist`` or ``image1``. Dates are no marks; ``dated`` says that ``aug`` is August.

    >>> original_stem("764_Simple Bone Fracture_flip_vertical")
    '764_Simple Bone Fracture'
    >>> original_stem("12_rotate_15_brightness")
    '12'
    >>> original_stem("images94_jpg.rf.1be75680f0289a4d2bcc8d0c112a3453")
    'images94'
    >>> original_stem("2021-Aug-03")
    '2021-Aug-03'
    """
    return _reduce(stem, known, dated)[0]


def is_augmentation_word(name: str) -> bool:
    """Whether a folder's name says only that its images are originals or copies, e.g. ``Augmented``."""
    return re.fullmatch(rf"{_WORDS}(?:[ _-]*(?:images?|data|copies))?|orginal", name.strip(), re.IGNORECASE) is not None


def originals(files: Sequence[tuple[str, str, str]]) -> list[Original]:
    """The original image of each file.

    Numbering often starts anew in every split folder, so ``train/1.png`` and ``test/1.png`` are only taken for one
    original where a copy such as ``1_rotate.png`` shows that the numbers name originals, or where the name says more.

    Args:
        files: scope (the folder, without split and augmentation folders), split (empty if none) and stem of each file.
    """
    stems: dict[str, set[str]] = defaultdict(set)
    for scope, _, stem in files:
        stems[scope].add(stem)
    known = {scope: frozenset(held) for scope, held in stems.items()}
    dated = any(_DAY_OF_MONTH.search(stem) for _, _, stem in files)
    reduced = [_reduce(stem, known[scope], dated) for scope, _, stem in files]
    copied = {(scope, name) for (scope, _, _), (name, rule) in zip(files, reduced, strict=True) if rule}
    found = []
    for (scope, split, _), (name, rule) in zip(files, reduced, strict=True):
        apart = split and (scope, name) not in copied and _GENERIC.fullmatch(name)
        found.append(Original("/".join(part for part in (split if apart else "", scope, name) if part), rule))
    return found


def unlikely(found: Sequence[Original], labels: Sequence[str], paths: Sequence[str]) -> list[str]:
    """One sentence for each original that would have more copies than any tool makes.

    Args:
        found: the original of each file.
        labels: the class of each file.
        paths: of each file, for the examples.
    """
    classes = Counter(labels)
    members: dict[str, list[int]] = defaultdict(list)
    for i, one in enumerate(found):
        members[one.key].append(i)
    sentences = []
    for held in members.values():
        label = labels[held[0]]
        by_name = next((found[i].rule for i in held if found[i].rule), "")
        if by_name and len(held) >= _FEW and len(held) > MOST_COPIES * classes[label]:
            listed = ", ".join(os.path.basename(paths[i]) for i in held[:3])  # noqa: PTH119
            sentences.append(
                f"by their names {len(held)} of {classes[label]} images of {label} would be copies of one original "
                f"(rule: {by_name}): {listed}"
            )
    return sentences


def _reduce(stem: str, known: frozenset[str], dated: bool) -> tuple[str, str]:
    """The stem without its marks, and the rule that took the last one off."""
    rule = ""
    while (step := _strip_one(stem, known, dated)) is not None:
        stem, rule = step
    return stem, rule


def _strip_one(stem: str, known: frozenset[str], dated: bool) -> tuple[str, str] | None:
    if found := _AUGMENTOR.match(stem):
        return found[1], "the name that Augmentor gives"
    for rule, pattern in _MARKS.items():
        shorter, taken = _without(pattern, stem)
        if not taken or not shorter or _is_date(stem, taken, dated):
            continue
        if rule in _BY_UUID and shorter not in known and not _names_an_image(shorter):
            continue
        return shorter, rule
    shorter = _KERAS.sub("", stem)
    return (shorter, "the numbers that Keras adds") if shorter != stem and shorter in known else None


def _without(pattern: re.Pattern[str], stem: str) -> tuple[str, str]:
    """The stem without what the pattern finds, and what that was."""
    found = pattern.search(stem)
    return (stem[: found.start()] + stem[found.end() :], found[0]) if found else (stem, "")


def _is_date(stem: str, taken: str, dated: bool) -> bool:
    """Whether the mark is August and the name a date."""
    return _AUGUST.search(taken) is not None and (dated or _DATE.search(stem) is not None)


def _names_an_image(name: str) -> bool:
    """Whether a name says more than what all images of a folder are: it has a number and is not generic."""
    return any(letter.isdigit() for letter in name) and not _GENERIC.fullmatch(name)
