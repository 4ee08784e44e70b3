"""What ``/openapi.json`` says of ``POST /predict``, and ``/docs``: a page without any script from elsewhere."""

import html
from typing import Any, get_args

from fracture.evidence.verdict import Said

SUMMARY = "Answers to bone radiographs. Research software, not a medical device: a person decides."

_TEXT, _FLAG = {"type": "string"}, {"type": "boolean", "default": False}
_MAYBE = {"type": ["number", "null"]}
_OPTIONS: dict[str, Any] = {
    "heat_map": {**_FLAG, "description": "add to each answer a PNG of the radiograph with its heat map"},
    "radiograph": {**_FLAG, "description": "add to each answer a PNG of the radiograph as it was decoded"},
    "study": {
        **_FLAG,
        "description": "the images are of one study: add one answer for it, by the mean of their logits",
    },
}
_ANSWER: dict[str, Any] = {
    "decision": {**_TEXT, "enum": list(get_args(Said)), "description": "the decision about the image; read this first"},
    "label": {**_TEXT, "description": "the class; it never contradicts fracture; empty if there is no answer"},
    "fracture": {"type": ["boolean", "null"], "description": "whether a fracture is reported at the operating point"},
    "fracture_probability": {**_MAYBE, "description": "probability of any fracture; null without a healthy class"},
    "probabilities": {"type": "object", "additionalProperties": {"type": "number"}, "description": "by class"},
    "refer": {"type": "boolean", "description": "whether a person must look"},
    "reason": {**_TEXT, "description": "why a person must look; empty if nobody has to"},
    "possible": {"type": "array", "items": _TEXT, "description": "the classes that remain possible"},
    "possible_in_words": {
        **_TEXT,
        "description": "these in a sentence, as 'only kinds of fracture remain possible at 90% coverage: A or B'; "
        "coverage: of each class at least 90 of 100 images have it among their possible classes",
    },
    "error": {**_TEXT, "description": "why there is no answer; empty if there is one"},
    "sha256": {**_TEXT, "description": "digest of the image, for POST /feedback; only if the server has a log"},
    "heat_map": {**_TEXT, "description": "data URL of a PNG, if it was requested"},
    "heat_map_error": {**_TEXT, "description": "why there is no heat map"},
    "radiograph": {**_TEXT, "description": "data URL of a PNG, if it was requested"},
}
_REPLY = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("title", "version", "model", "weights_sha256"), _TEXT),
        "answers": {"type": "array", "items": {"type": "object", "properties": _ANSWER}},
        "study": {
            "type": "object",
            "description": "one answer for all images together, with the share of each; if it was requested",
            "properties": {**_ANSWER, "shares": {"type": "array", "items": _MAYBE}},
        },
    },
}
_REFUSALS = {
    "400": "nothing to read, or too many images",
    "401": "a token is needed",
    "408": "the request did not arrive in time",
    "413": "too many bytes or pixels",
    "415": "neither a form nor JSON",
    "429": "too many wait; try again",
    "503": "its images could not be decoded in time",
}
PREDICT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        **_OPTIONS,
                    },
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "properties": {
                        "images": {"type": "array", "items": {"type": "string", "contentEncoding": "base64"}},
                        **_OPTIONS,
                    },
                }
            },
        },
    },
    "responses": {
        "200": {"description": "one answer per image, in order", "content": {"application/json": {"schema": _REPLY}}},
        **{status: {"description": words} for status, words in _REFUSALS.items()},
    },
}
_SAID: dict[str, Any] = {
    "sha256": {**_TEXT, "description": "digest of the image, from its answer"},
    "label": {**_TEXT, "description": "the true class"},
    "by": {**_TEXT, "description": "who says so, 1 to 100 characters"},
}
FEEDBACK: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object", "required": [*_SAID], "properties": _SAID}}},
    },
    "responses": {
        "200": {"description": "it is kept"},
        "400": {"description": "a field is missing, or the class is unknown"},
        "404": {"description": "the server keeps no log"},
        "503": {"description": "the correction could not be stored"},
    },
}
_CURL = """curl -F files=@scan.png -F heat_map=true ADDRESS/predict
curl -H 'content-type: application/json' -d '{"images": ["BASE64"]}' ADDRESS/predict"""


def page(schema: dict[str, Any]) -> str:
    """The schema as a page for people."""
    ways = [
        f"<tr><th scope='row'><code>{method.upper()} {html.escape(path)}</code></th>"
        f"<td>{html.escape(way.get('summary', ''))}</td></tr>"
        for path, methods in schema["paths"].items()
        for method, way in methods.items()
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<title>fracture: the interface for programs</title><link rel="icon" href="data:,">'
        '<link rel="stylesheet" href="page.css"></head>'
        f"<body class='text'><main><h1>The interface for programs</h1><p>{html.escape(SUMMARY)}</p>"
        "<p><a href='.'>The page for people</a> · <a href='openapi.json'>openapi.json</a></p>"
        f"<h2>Addresses</h2><table><tbody>{''.join(ways)}</tbody></table>"
        f"<h2>POST /predict</h2><pre>{html.escape(_CURL)}</pre><p>Files of a form, or base64 in JSON. Options:</p>"
        f"{_table(_OPTIONS)}<h2>An answer</h2>{_table(_ANSWER)}"
        f"<h2>POST /feedback</h2><p>What an image really is, as JSON; the server needs a log.</p>{_table(_SAID)}"
        f"<h2>Refusals</h2>{_table({name: {'description': words} for name, words in _REFUSALS.items()})}"
        "</main></body></html>"
    )


def _table(fields: dict[str, dict[str, Any]]) -> str:
    rows = [
        f"<tr><th scope='row'><code>{name}</code></th><td>{html.escape(_kind(one))}</td>"
        f"<td>{html.escape(one.get('description', ''))}</td></tr>"
        for name, one in fields.items()
    ]
    return f"<table><tbody>{''.join(rows)}</tbody></table>"


def _kind(one: dict[str, Any]) -> str:
    kind = one.get("type", "")
    return ", ".join(one["enum"]) if "enum" in one else " or ".join(kind) if isinstance(kind, list) else kind
