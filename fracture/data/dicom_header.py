"""Whether bytes begin as a DICOM file does, with or without its preamble, and how its first elements are written.

Needs no pydicom. Data sets without a preamble come from old archives and from network dumps.
"""

import struct
from dataclasses import dataclass

HEAD = 256  # bytes that are looked at
_FIRST_BYTES = (b"\0", b"\2", b"\b", b"D")  # of all that may begin without a preamble; spares other files the rest
_ELEMENTS = 2  # plausible ones in a row that make a header, where no more are seen
_ENOUGH = 4  # after so many it is one, whatever follows
_UNDEFINED = 0xFFFFFFFF
_LONGEST = 2**20  # bytes of one element at the beginning of a file
_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())  # two bytes of nothing, then 32-bit lengths
_TEXT_VRS = _SHORT_VRS - frozenset(b"AT FD FL SL SS UL US".split())
_NO_TEXT = frozenset({0x00020000, 0x00020001, 0x00020102, 0x00080000, 0x00080001, 0x00080006, 0x00080040})
_CONTROLS = bytes({*range(32)} - {0, 9, 10, 12, 13, 27})  # that no text of DICOM holds


@dataclass(frozen=True, slots=True)
class Start:
    """Where the first element of a data set without a preamble begins, and how elements are written.

    Attributes:
        place: bytes before the first element.
        implicit: whether elements lack their VR.
        little: whether numbers are little-endian.
        meta: whether it begins with the file's meta information (group 0002), which names the transfer syntax.
    """

    place: int
    implicit: bool
    little: bool
    meta: bool


def is_dicom(data: bytes) -> bool:
    """Whether bytes, of which the first 256 are enough, begin as a DICOM file does.

    That is 128 bytes of anything, then ``DICM``; or, where these are missing, two or more plausible elements of which
    the first is one of group 0002 or 0008.
    """
    return data[128:132] == b"DICM" or (data[:1] in _FIRST_BYTES and find_start(data) is not None)


def find_start(data: bytes) -> Start | None:
    """Where a data set begins that lacks the preamble or its ``DICM``; None where none does."""
    head = data[:HEAD]
    places = [0] if head[:4] != b"DICM" else [4]
    if head[:128] == bytes(128):
        places = [128, 132]
    for place in places:
        for little in (True, False):
            group = int.from_bytes(head[place : place + 2], "little" if little else "big")
            if group not in (0x0002, 0x0008):
                continue
            for implicit in (False, True):
                if _is_plausible(head, place, implicit, little):
                    return Start(place, implicit, little, meta=group == 0x0002)
    return None


def _is_plausible(head: bytes, place: int, implicit: bool, little: bool) -> bool:
    """Whether elements begin here: tags that rise, VRs that exist, possible lengths, text, not all of it empty."""
    last, seen, told, order = -1, 0, False, "<" if little else ">"
    while place + 12 <= len(head) and seen < _ENOUGH:
        group, element = struct.unpack_from(f"{order}HH", head, place)
        tag, vr = group << 16 | element, head[place + 4 : place + 6]
        start, length = _extent(head, place, implicit, order)
        if tag <= last or (element == 0 and length != 4):  # the length of a group is a number of four bytes
            return False
        if length == _UNDEFINED and (implicit or vr in (b"SQ", b"UN")):  # a sequence, whose end is not known
            return told and seen + 1 >= _ELEMENTS
        if length % 2 or length > _LONGEST:
            return False
        value = head[start : start + length]
        is_text = group in (0x0002, 0x0008) and tag not in _NO_TEXT if implicit else vr in _TEXT_VRS
        if is_text and len(value.translate(None, _CONTROLS)) < len(value):
            return False
        told = told or (is_text and bool(value.strip(b"\0 ")))
        last, seen, place = tag, seen + 1, start + length
    return told and seen >= _ELEMENTS


def _extent(head: bytes, place: int, implicit: bool, order: str) -> tuple[int, int]:
    """Where the value of the element at ``place`` begins, and its length; -1, which is odd, where its VR is none."""
    vr = head[place + 4 : place + 6]
    if implicit:
        return place + 8, int(struct.unpack_from(f"{order}I", head, place + 4)[0])
    if vr in _SHORT_VRS:
        return place + 8, int(struct.unpack_from(f"{order}H", head, place + 6)[0])
    if vr in _LONG_VRS and head[place + 6 : place + 8] == b"\0\0":
        return place + 12, int(struct.unpack_from(f"{order}I", head, place + 8)[0])
    return place + 12, -1
