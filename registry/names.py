"""What a registered model and its versions may be called."""

import re

from fracture.errors import ConfigError

_NEVER = re.compile(r"""[/:@'"%?#\\`]|[^\S ]|[\x00-\x1f\x7f]""")  # MLflow's addresses and searches do not survive these
_LONGEST = 200  # characters; a store takes 256, and the history's name is longer
_LARGEST = 2**31 - 1
HISTORY = "-history"


def checked(name: str) -> str:
    """The name of a registered model, unless it could not be registered, or not be loaded afterwards.

    Raises:
        ConfigError: it could not.
    """
    wrong = ""
    if not name.strip():
        wrong = "is empty"
    elif found := _NEVER.search(name):
        wrong = f"holds {found.group()!r}, with which no model can be registered or loaded"
    elif name != name.strip() or name in (".", "..") or len(name) > _LONGEST:
        wrong = f"begins or ends with a space, is . or .., or is longer than {_LONGEST} characters"
    elif name.casefold().endswith(HISTORY):
        wrong = f"is that of a history: the model is {name[: -len(HISTORY)]!r}"
    if wrong:
        raise ConfigError(f"--name={name!r} {wrong}. Take letters, digits, - and _, as in fracture-classifier")
    return name


def is_number(text: str) -> bool:
    """Whether a text can be the number of a version."""
    return text.isascii() and text.isdecimal() and 0 < int(text) <= _LARGEST
