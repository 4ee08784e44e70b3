"""The marks that tools and people leave in the names of copies, and how they are taken off."""

import re
from dataclasses import dataclass

# what augmentation tools and people put before or after the name of the original, in any case, joined by space _ - or .
_WORDS = (
    r"(?:(?:random|high|low|increased?|decreased?|linear|additive)[ _-]?)?(?:"
    r"flip[ _-]?(?:vertical(?:ly)?|horizontal(?:ly)?|both|lr|ud|xy|yx|hv|vh|[vhxy])"
    r"|(?:vertical|horizontal|hv|vh|[vhxy])[ _-]?flip(?:ped)?"
    r"|flip(?:ped)?|mirror(?:ed)?|rotat(?:e|ed|ion)(?:[ _-]?(?:left|right|cw|ccw))?|rot|transposed?|affine|perspective"
    r"|shift(?:ed)?|translat(?:e|ed|ion)|scal(?:e|ed|ing)|resized?|zoom(?:ed)?(?:[ _-]?(?:in|out))?|shear(?:ed)?"
    r"|(?:center|centre)?[ _-]?crop(?:ped)?|shift[ _-]?scale[ _-]?rotate|elastic(?:[ _-]?(?:transform|deformation))?"
    r"|(?:grid|optical)[ _-]?distortion|bright(?:ness|er|en|ened)?(?:[ _-]?contrast)?|dark(?:er|en|ened)?"
    r"|contrast(?:ed)?|gamma|colou?r[ _-]?jitter|(?:gauss(?:ian)?[ _-]?)?nois(?:e|ed|y)|salt[ _-]?(?:and[ _-]?)?pepper"
    r"|(?:gauss(?:ian)?|median|motion)?[ _-]?blur(?:red)?|sharp(?:en(?:ed)?)?|equali[sz]ed?|clahe|invert(?:ed)?"
    r"|hist(?:ogram)?[ _-]?eq(?:uali[sz](?:ed|ation))?|coarse[ _-]?dropout|cutout|compress(?:ed)?|edited|transformed"
    r"|aug(?:ment(?:ed|ation)?)?|imgaug|albumentations?|original"
    r"|copy|kopie|copie|copia|(?:another|\d(?:st|nd|rd|th))[ _]copy"
    r")(?:[ _-]?[xy](?![a-z]))?"
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
_IN_AUGUST = re.compile(rf"aug(?:ust)?{_SEP}(?:0[1-9]|[12]\d|3[01])(?!\d)", re.IGNORECASE)
_AUGUST = re.compile(r"aug(?:ust)?(?![a-z])", re.IGNORECASE)
_UUID = r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}"
_LABEL_STUDIO = r"(?=[0-9]*[a-f])[0-9a-f]{8}(?=-)"  # eight digits without a letter are more likely a date
_GENERIC = re.compile(
    r"(?:images?|img|pictures?|photos?|scan|x[ _-]?ray|view|frame|slice|download|untitled|ap|pa|lat|lateral)?"
    r"[ _(-]*\d{0,5}\)?",
    re.IGNORECASE,
)
_AUGMENTOR = re.compile(r"^.+_original_(.+?)(?:\.\w{3,4})?_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE)
ROBOFLOW = re.compile(r"(?:_(jpe?g|png|bmp|tiff?|webp|gif))?\.rf\.[0-9a-z]{16,64}$", re.IGNORECASE)
_SIDES = "64|96|128|160|192|224|256|288|299|300|320|336|380|384|448|480|512|600|640|768|800|1024"
_WHERE_KNOWN = {  # rule: what it takes off where the shorter name is that of a file
    "the numbers that Keras adds": re.compile(r"_\d{1,6}_\d{1,8}$"),  # <prefix>_<index>_<random number>
    "a size at the end": re.compile(rf"[ _-](?:\d{{2,4}}x\d{{2,4}}|(?:{_SIDES}))(?:px)?$", re.IGNORECASE),
    "a number in parentheses": re.compile(r"(?<=\d)[ _]?\(\d{1,2}\)$"),
    "a word for a variant": re.compile(
        r"[ _-](?:trans(?:form)?|variant|version|var|v)(?:[ _-]?\d{1,2})?$", re.IGNORECASE
    ),
}
WORD_RULES = {  # rule: what it takes off
    "a word for a copy at the end": re.compile(rf"[ _.-]+(?:{_WORDS}|\({_WORDS}\)){_NUMBER}$", re.IGNORECASE),
    "a word for a copy at the beginning": re.compile(
        rf"^(?:(?:copy of|kopie von|copia de|copie de|{_WORDS}{_NUMBER})[ _-]+)(?=.*[0-9a-z])", re.IGNORECASE
    ),
}
_ID_RULES = {
    "a unique id at the end": re.compile(rf"(?<=.)[_-]+{_UUID}$", re.IGNORECASE),
    "a unique id at the beginning": re.compile(rf"^(?:{_UUID}|{_LABEL_STUDIO})[_-]+(?=.)", re.IGNORECASE),
}
_LATE = "a unique id at the beginning"
_FOLDER = re.compile(  # but for what may be the name of a class: fractures are rotated, translated, compressed
    r"(?!rotat|translat|shift|shear|crop|scal|transpos|compress)"
    rf"(?:{_WORDS}|orginals?|originals|copies|outputs?)(?:[ _-]*(?:images?|data|datasets?|sets?|copies))?",
    re.IGNORECASE,
)
_MONTH_NAME = "Aug"


@dataclass(frozen=True, slots=True)
class Reduced:
    """A name without its marks.

    Attributes:
        name: what is left.
        rule: what was taken off last, in words; empty where nothing was.
        words: for copies that were taken off, in lower case, without their numbers.
        sure: no word and no id was taken off, only what one tool alone leaves, or what leads to another file.
    """

    name: str
    rule: str = ""
    words: tuple[str, ...] = ()
    sure: bool = True


def reduce(stem: str, known: frozenset[str] = frozenset(), dated: bool = False, only_sure: bool = False) -> Reduced:
    """The stem without its marks, which are taken off one after the other.

    Those of Roboflow, Augmentor, Label Studio, Keras, albumentations, imgaug, OpenCV and image editors are known.
    Keras's two numbers may as well be a patient and a view, so they are taken off only where a file beside this one has
    the shorter name; so are sizes, numbers in parentheses, and a unique id where what is left is no name of one image,
    as ``wrist`` or ``image1``. Dates are no marks.

    >>> reduce("12_rotate_15_brightness").name
    '12'

    Args:
        stem: of a file's name.
        known: the stems of the files beside it.
        dated: ``aug`` is August.
        only_sure: take off only what one tool alone leaves, or what leads to another file.
    """
    found = Reduced(stem)
    while step := _strip_one(found.name, known, dated, only_sure):
        name, rule, taken = step
        words = (*found.words, re.sub(r"[\W\d_]+", "", taken).lower()) if rule in WORD_RULES else found.words
        found = Reduced(name, rule, words, found.sure and rule not in WORD_RULES and rule not in _ID_RULES)
    return found


def are_dated(stems: list[str]) -> bool:
    """Whether the names carry dates, so that ``aug`` is August: other months stand there, or nearly all are in it."""
    in_august = sum(_IN_AUGUST.match(stem) is not None for stem in stems)
    return in_august > 0.9 * len(stems) or any(_DAY_OF_MONTH.search(stem) for stem in stems)


def is_augmentation_word(name: str) -> bool:
    """Whether a folder's name says only that its images are originals or copies, e.g. ``Augmented``."""
    return name.strip() != _MONTH_NAME and _FOLDER.fullmatch(name.strip()) is not None


def is_generic(name: str) -> bool:
    """Whether a name is one that files of any folder have, as ``image1`` or ``12``."""
    return _GENERIC.fullmatch(name) is not None


def _strip_one(stem: str, known: frozenset[str], dated: bool, only_sure: bool) -> tuple[str, str, str] | None:
    """The stem without one mark, the rule, and what was taken off."""
    if found := _AUGMENTOR.match(stem):
        return found[1], "the name that Augmentor gives", stem
    if found := ROBOFLOW.search(stem):
        return (stem[: found.start()], "the ending that Roboflow adds", found[0]) if found.start() else None
    for rule, pattern in () if only_sure else _UNSURE:
        found = pattern.search(stem)
        shorter = stem[: found.start()] + stem[found.end() :] if found else ""
        if not found or not shorter or _is_date(stem, found[0], dated):
            continue
        if rule in _ID_RULES and shorter not in known and not _names_an_image(shorter):
            continue
        return shorter, rule, found[0]
    for rule, pattern in _WHERE_KNOWN.items():
        if (found := pattern.search(stem)) and stem[: found.start()] in known:
            return stem[: found.start()], rule, found[0]
    return None


_UNSURE = [(rule, one) for rule, one in (*_ID_RULES.items(), *WORD_RULES.items()) if rule != _LATE]
_UNSURE.append((_LATE, _ID_RULES[_LATE]))


def _is_date(stem: str, taken: str, dated: bool) -> bool:
    """Whether the mark is August and the name a date."""
    return _AUGUST.search(taken) is not None and (dated or _DATE.search(stem) is not None)


def _names_an_image(name: str) -> bool:
    """Whether a name says more than what all images of a folder are: it has a number and is not generic."""
    return any(letter.isdigit() for letter in name) and not is_generic(name)
