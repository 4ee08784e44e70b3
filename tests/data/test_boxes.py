"""Boxes in one cell of a manifest: what is written is read again, and nothing else is taken for boxes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracture.data.boxes import Box, from_text, to_text
from fracture.files import is_text

LABELS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(is_text)
SHARES = st.floats(0, 1, allow_nan=False)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    left, right = sorted(draw(st.lists(SHARES, min_size=2, max_size=2, unique=True)))
    top, bottom = sorted(draw(st.lists(SHARES, min_size=2, max_size=2, unique=True)))
    return Box(draw(LABELS), left, top, right, bottom)


@given(st.lists(boxes(), max_size=4))
def test_what_is_written_is_read(found: list[Box]) -> None:
    assert from_text(to_text(found)) == tuple(found)


def test_how_a_cell_looks() -> None:
    assert to_text([Box("fracture", 0.1, 0.2, 0.3, 0.4)]) == '[["fracture",0.1,0.2,0.3,0.4]]'
    assert to_text([]) == "[]"
    assert to_text(None) == ""
    assert from_text("") == from_text(" ") == from_text("[]") == ()


@pytest.mark.parametrize(
    "text",
    [
        "x", "{}", "1", "null", '"a"', "[1]", "[[]]", '[["a",0,0,1]]', '[["a",0,0,1,1,1]]', '[["",0,0,1,1]]',
        "[[1,0,0,1,1]]",
        '[["a",true,0,1,1]]', '[["a","0",0,1,1]]', '[["a",NaN,0,1,1]]', '[["a",0.5,0,0.5,1]]', '[["a",-0.1,0,1,1]]',
        '[["a",0,0,1.1,1]]', '[["a",0,0,2,1]]', '[["a",null,0,1,1]]', '[["\\ud800",0,0,1,1]]', "[" * 100_000,
        f'[["a",0,0,{"9" * 5000},1]]',
    ],
)  # fmt: skip
def test_what_is_no_list_of_boxes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="box"):
        from_text(text)


@given(st.text())
def test_any_text_is_boxes_or_a_value_error(text: str) -> None:
    try:
        found = from_text(text)
    except ValueError:
        return
    assert from_text(to_text(found)) == found


@pytest.mark.parametrize(
    "edges", [(0.5, 0, 0.5, 1), (0, 1, 1, 0), (-0.1, 0, 1, 1), (0, 0, 1, float("nan")), ("0", 0, 1, 1)]
)
def test_a_box_has_edges_inside_the_image(edges: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="edges of a box"):
        Box("fracture", *edges)
