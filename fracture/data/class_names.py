"""Whether names can be classes, or are the structure of a data set: splits, counters, patients, dates, formats."""

import re
import shlex
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass

from fracture.data.groups import grouped
from fracture.data.listing import some
from fracture.data.manifest import split_name

MAX_CLASSES = 50

_SAYS_CLASS = re.compile(
    r"fract|brok|break|healthy|normal|intact|positive|negative|finding|disloc|displac|comminut|greenstick|hairline"
    r"|avulsion|spiral|obli[qc]|transverse|impacted|pathologic|arthr|osteo|tumou?r|lesion|disease|benign|malign"
    r"|grade|class|kl[ _-]?\d|stage|severity|doubtful|minimal|moderate|severe|no[ _-]finding|control",
    re.IGNORECASE,
)
_FORMATS = re.compile(
    r"dicom|dcm|png|jpe?g|tiff?|bmp|gif|webp|jp2|raw|hd|rgb|gr[ae]y(?:scale)?|originals?|orginal|(?:pre)?processed"
    r"|thumb(?:nail)?s?|low[ _-]?res|high[ _-]?res|\d+[ _-]?bits?"
    r"|\d{2,4}(?:[ _-]?x[ _-]?\d{2,4})?[ _-]?px|\d{2,4}[ _-]?x[ _-]?\d{2,4}"
    r"|(?:dicom|dcm|png|jpe?g|tiff?)[ _-]?(?:images?|files?|data)",
    re.IGNORECASE,
)
_FILES = (
    r"images?|imgs?|data|datasets?|labels?|annotations?|masks?|segmentations?|bounding[ _-]?box(?:es)?|bbox(?:es)?"
    r"|heatmaps?|meta(?:data)?|docs?|csvs?|jpegimages|imagesets|segmentationclass|segmentationobject|files?|downloads?"
    r"|exports?|archives?|x-?rays?|radiographs?|scans?|eval(?:uation)?|unseen|development"
    r"|cross[ _-]?val(?:idation)?|unlabel+ed|results?|outputs?|predictions?|preds?|inference|figures?|plots?|logs?"
    r"|runs?|checkpoints?|weights|models?|notebooks?|samples?|examples?|screenshots?|annotated|code|src"
)
_TOOL = r"(?:yolo|coco|voc|pascal|darknet|labelme|roboflow|cvat|createml|json|ya?ml)(?:[ _-]?v?\d+)?"
_NO_CLASS = re.compile(rf"(?:{_TOOL}[ _-]+)*(?:{_FILES})(?:[ _-]+(?:{_FILES}|{_TOOL}))*", re.IGNORECASE)
_ASIDE = re.compile(
    r"trash|junk|back[ _-]?ups?|new folder(?: ?\(\d+\))?|copy of .+|.+ - copy(?: ?\(\d+\))?|duplicat(?:e|es|ed)"
    r"|(?:to[ _-]?be[ _-]?)?(?:reject|exclud|discard|remov|delet)(?:e|ed)?|to[ _-]?(?:review|do|check|label|delete)"
    r"|unsorted|te?mp|temporary",
    re.IGNORECASE,
)
_SIDES = re.compile(
    r"left|right|l|r|lt|rt|bilateral|ap|pa|lat(?:eral)?|oblique[ _-]view|frontal|axial|dorsal|palmar|view[ _-]?\d"
    r"|(?:xr[ _-])?(?:wrist|elbow|hand|finger|thumb|humerus|forearm|shoulder|clavicle|hip|pelvis|femur|knee|leg|tibia"
    r"|ankle|foot|toe|spine|rib|skull|chest|arm|radius|ulna|scapula|neck)s?",
    re.IGNORECASE,
)
_PEOPLE = re.compile(
    r"(?:fe)?males?|m|f|(?:wo)?men|adults?|child(?:ren)?|infants?|p?a?ediatrics?"
    r"|(?:upper|lower)[ _-](?:limb|extremity|arm|leg)s?"
    r"|jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?",
    re.IGNORECASE,
)
_PATIENT = r"(?:patients?|pat|pts?|cases?|subjects?|subj|sub|mrn|person|persons|p)"
_PATIENT_NAME = re.compile(rf"{_PATIENT}[ _-]?\d+", re.IGNORECASE)
_COUNTER = re.compile(
    rf"(?:{_PATIENT}|case|stud(?:y|ies)|series|session|ses|visit|exam|accession|acc|images?|imgs?|im|part|batch|day"
    r"|week|month|year|set|chunk|folder|dir|group|fold|cv|split|subset|dis[ck]|cd|dvd|vol(?:ume)?|archive|zip|export|download|data"
    r"|dataset|page|slide|files?|x-?rays?|scans?|dicom|box|run|round|room|site|centre|center|hospital|clinic|no|nr|s|st"
    r"|se)[ _#.-]*\d+"
    r"|(?:set|site|hospital|clinic|centre|center|part|batch|fold|subset|cohort|reader|expert)[ _#.-]?[a-h]",
    re.IGNORECASE,
)
_GRADE = re.compile(
    r"(?:grade|class|type|kl|stage|score|category|level|label|birads|weber|gartland|ao)?[ _-]*\d{1,2}", re.IGNORECASE
)
_DATE = re.compile(r"(?:19|20)\d\d(?:[ _.-]?\d{1,2}){0,2}|\d{1,2}[ _.-]\d{1,2}[ _.-](?:19|20)?\d\d")
_NUMBERED = re.compile(r"(.*?)[ _#.-]*\d+")


@dataclass(frozen=True)
class Structure:
    """What a list of folder names is, where it is none of classes.

    Attributes:
        kind: in words, e.g. ``splits``.
        names: the names that show it.
    """

    kind: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        """A part of a sentence with three examples."""
        return f"{some(self.names)}: these look like {self.kind}, not like classes"


_TRAIN = re.compile(r"train|entren|^tr$", re.IGNORECASE)
_TEST = re.compile(r"(?<![a-z])(?:test|val|eval|hold|prueba)|^(?:te|va|vl|ts)$", re.IGNORECASE)
_SPLIT_WORD = re.compile(
    r"(?<![a-z])(?:train|training|tests?|testing|val|valid|validat(?:e|ing|ion))(?![a-z])", re.IGNORECASE
)


def _splits(names: list[str]) -> list[str]:
    """The names that say a split, also beside another word, or that make a pair of one with another."""
    train, test = ([name for name in names if one.search(name.strip())] for one in (_TRAIN, _TEST))
    pair = [*train, *test] if train and test else []
    words = {name: {found.lower() for found in _SPLIT_WORD.findall(name.replace("_", " "))} for name in names}
    if len(set().union(*words.values())) == 1 and all(words.values()) and not any(map(split_name, names)):
        return pair  # Test positive and Test negative are what a test found
    return [name for name in names if split_name(name) or words[name]] or pair


def structure(names: Collection[str]) -> Structure | None:
    """What the names are where they can be no classes, None where they can.

    Args:
        names: distinct names of folders at one level, or of a column's values.
    """
    listed = sorted(names)
    for kind, found in (
        ("splits", _splits(listed)),
        ("folders of files, not of a class", [name for name in listed if _NO_CLASS.fullmatch(name.strip())]),
    ):
        if found:
            return Structure(kind, tuple(found))
    for kind, pattern in _KINDS:
        if listed and all(pattern.fullmatch(name.strip()) for name in listed):
            return Structure(kind, tuple(listed))
    if _counts(listed):
        return Structure("counters", tuple(listed))
    return None


def put_aside(names: Collection[str]) -> str:
    """A sentence on folders that hold what was put aside or copied, not a class; empty if there are none."""
    found = sorted(name for name in names if _ASIDE.fullmatch(name.strip()))
    return f"{some(found)}: such folders hold what was put aside or copied, not a class" if found else ""


_SEPARATED = re.compile(r"(?<=[^\W\d_])[\s_-]+(?=[^\W\d_])")  # between letters
_FRACTURE = re.compile(r"(no|non|not|un|without|keine?|ohne|sans|pasde)?(?:fra[ck]tur|fr?x)")
_ENDING = re.compile(r"(?<=fractur)(?:es|ed|e)$|(?<=[^\W\d_]{4})s$")


def spelling(name: str) -> str:
    """What spellings of one class have in common: case, blanks, a dot at the end, ``not fractured`` and ``no fx``."""
    text = "".join(one for one in unicodedata.normalize("NFKC", name).casefold() if unicodedata.category(one) != "Cf")
    text = re.sub(r"[\s_]+", "_", _SEPARATED.sub("", text.strip(" _.,;:'\"")))
    text = re.sub(r"(?<=\d)\.0+$", "", _ENDING.sub("", text))
    said = _FRACTURE.fullmatch(text)
    return f"{'no' if said[1] else ''}fractur" if said else text


_ANSWERS = (  # what people write for yes and for no, of which a column holds one each
    {"1", "1.0", "y", "yes", "true", "ja", "oui", "si", "sí", "sim", "positive", "pos", "present"},
    {"0", "0.0", "n", "no", "false", "nein", "non", "não", "negative", "neg", "absent"},
)


def named_twice(names: Collection[str]) -> tuple[str, str]:
    """A sentence on classes with two names, and the ``OLD=NEW`` that makes one of each; both empty where none has."""
    spelt = grouped((spelling(name), name) for name in sorted(names))
    answers = [sorted(name for name in names if name.strip().casefold() in one) for one in _ANSWERS]  # 1 and yes
    for held, how in ((spelt.values(), "differ in their spelling only"), (answers, "mean the same")):
        if twice := [one for one in held if len(one) > 1]:
            pairs = ",".join(f"{other}={one[0]}" for one in twice for other in one[1:])
            return f"classes that {how}: {'; '.join(', '.join(one) for one in twice[:5])}", shlex.quote(pairs)
    return "", ""


def says_class(names: Collection[str]) -> bool:
    """Whether a name is one that classes of bone images have, as ``fractured``, ``normal`` or ``grade 2``."""
    return any(_SAYS_CLASS.search(name) for name in names)


def are_patients(names: Collection[str]) -> bool:
    """Whether all names are patients: a word for one and a number."""
    return bool(names) and all(_PATIENT_NAME.fullmatch(name.strip()) for name in names)


_KINDS = (
    ("patients", _PATIENT_NAME),
    ("counters", _COUNTER),
    ("studies", re.compile(r"stud(?:y|ies)[ _-]?\d+[ _-].+", re.IGNORECASE)),
    ("dates", _DATE),
    ("file formats or sizes", _FORMATS),
    ("identifiers", re.compile(r"[\d.]{10,}|[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)),
    ("people or months", _PEOPLE),
    ("body parts, sides or views", _SIDES),
)


def _counts(names: list[str]) -> bool:
    """Whether the names are one word, or none, with many different numbers; a few grades may be classes."""
    words = [found[1].lower() if (found := _NUMBERED.fullmatch(name)) else None for name in names]
    if len(names) < 2 or None in words or len(set(words)) > 1:
        return False
    if all(_GRADE.fullmatch(name) for name in names):
        return len(names) > 20
    return len(names) > 10 or not words[0]
