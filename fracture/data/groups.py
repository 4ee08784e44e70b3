"""Which images belong together: what file names tell of the original image, and the merging of links into groups."""

import re
from collections.abc import Hashable, Iterable, Sequence

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
_NUMBER = r"(?:[ _.-]*[+-]?\d+(?:\.\d+)?(?:deg(?:rees)?)?)?"
_SUFFIX = re.compile(rf"[ _.-]+{_WORDS}{_NUMBER}$", re.IGNORECASE)
_PREFIX = re.compile(rf"^(?:{_WORDS}{_NUMBER}[ _-]+)(?=.*[0-9a-z])", re.IGNORECASE)
_ROBOFLOW = re.compile(r"(?:_(?:jpe?g|png|bmp|tiff?|webp|gif))?\.rf\.[0-9a-z]{16,64}$", re.IGNORECASE)
_AUGMENTOR = re.compile(r"^.+_original_(.+?)(?:\.\w{3,4})?_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE)
_UUID = r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}"
_LABEL_STUDIO = r"(?=[0-9]*[a-f])[0-9a-f]{8}(?=-)"  # eight digits without a letter are more likely a date
_HASH_PREFIX = re.compile(rf"^(?:{_UUID}|{_LABEL_STUDIO})[_-]+(?=.)", re.IGNORECASE)
_HASH_SUFFIX = re.compile(rf"(?<=.)[_-]+{_UUID}$", re.IGNORECASE)
_GENERIC = re.compile(
    r"(?:images?|img|pictures?|photos?|scan|x[ _-]?ray|view|frame|slice|download|untitled|ap|pa|lat|lateral)?"
    r"[ _(-]*\d{0,5}\)?",
    re.IGNORECASE,
)
_KERAS = re.compile(r"_\d{1,6}_\d{1,8}$")  # ImageDataGenerator: <prefix>_<index>_<random number>


def original_stem(stem: str, known: frozenset[str] = frozenset()) -> str:
    """The stem of the original image: every known mark of a tool is taken off, one after the other.

    Roboflow, Augmentor, Label Studio, Keras, and the words that people give to copies made by albumentations, imgaug,
    OpenCV and image editors are known. Keras's two numbers may as well be a patient and a view, so they are taken off
    only where the shorter stem is in ``known``, the stems of the files beside this one. A hash before a name as generic
    as ``image1`` stays: it is more likely the patient.

    >>> original_stem("764_Simple Bone Fracture_flip_vertical")
    '764_Simple Bone Fracture'
    >>> original_stem("12_rotate_15_brightness")
    '12'
    >>> original_stem("images94_jpg.rf.1be75680f0289a4d2bcc8d0c112a3453")
    'images94'
    >>> original_stem("IMG0002603")
    'IMG0002603'
    """
    while (shorter := _strip_one(stem, known)) != stem and shorter:
        stem = shorter
    return stem


def is_augmentation_word(name: str) -> bool:
    """Whether a folder's name says only that its images are originals or copies, e.g. ``Augmented``."""
    return re.fullmatch(rf"{_WORDS}(?:[ _-]*(?:images?|data|copies))?|orginal", name.strip(), re.IGNORECASE) is not None


def original_keys(files: Sequence[tuple[str, str, str]]) -> list[str]:
    """A key for the original image of each file; files with the same key were made from one original.

    Numbering often starts anew in every split folder, so ``train/1.png`` and ``test/1.png`` are only taken for one
    original where a copy such as ``1_rotate.png`` shows that the numbers name originals, or where the name says more.

    Args:
        files: scope (the folder, without split and augmentation folders), split (empty if none) and stem of each file.
    """
    stems: dict[str, set[str]] = {}
    for scope, _, stem in files:
        stems.setdefault(scope, set()).add(stem)
    known = {scope: frozenset(held) for scope, held in stems.items()}
    originals = [original_stem(stem, known[scope]) for scope, _, stem in files]
    copied = {(scope, name) for (scope, _, stem), name in zip(files, originals, strict=True) if name != stem}
    keys = []
    for (scope, split, _), name in zip(files, originals, strict=True):
        apart = split and (scope, name) not in copied and _GENERIC.fullmatch(name)
        keys.append("/".join(part for part in (split if apart else "", scope, name) if part))
    return keys


def merge(keys: Iterable[Sequence[Hashable]]) -> list[int]:
    """Number the groups of images that are linked by a shared key, directly or through others.

    Args:
        keys: what each image is known by (a patient, an original image, a cluster of near-duplicates); none for an
            image that stands alone.

    Returns:
        The group of each image, numbered from 0 in the order of first appearance.
    """
    parent: list[int] = []
    owner: dict[Hashable, int] = {}
    for image, own in enumerate(keys):
        parent.append(image)
        for key in own:
            first, second = _root(parent, owner.setdefault(key, image)), _root(parent, image)
            parent[max(first, second)] = min(first, second)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(_root(parent, image), len(numbers)) for image in range(len(parent))]


def _root(parent: list[int], image: int) -> int:
    while parent[image] != image:
        parent[image] = parent[parent[image]]
        image = parent[image]
    return image


def _strip_one(stem: str, known: frozenset[str]) -> str:
    if found := _AUGMENTOR.match(stem):
        return found[1]
    for pattern in (_ROBOFLOW, _HASH_SUFFIX, _SUFFIX, _PREFIX):
        if (shorter := pattern.sub("", stem)) != stem:
            return shorter
    shorter = _HASH_PREFIX.sub("", stem)
    if shorter != stem and (shorter in known or not _GENERIC.fullmatch(shorter)):
        return shorter
    shorter = _KERAS.sub("", stem)
    return shorter if shorter in known else stem
