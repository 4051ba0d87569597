"""What is accepted as a message: JSON of a known form and a bounded size."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass

from flask import request
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from ..errors import TooLarge

MAX_TEXT = 4_000  # characters of one message
MAX_BODY = 64 * 1024  # bytes: MAX_TEXT characters fit, however JSON spells them

_ID = re.compile(r"[A-Za-z0-9._:-]{8,64}")


@dataclass(frozen=True, slots=True)
class Message:
    """What a person wrote, and the id that names it, also when it is sent again."""

    text: str
    id: str


def read_message() -> Message:
    """The message in the request's body, ``{"text": …, "id": …}``; without an id it gets one.

    Raises BadRequest, UnsupportedMediaType or TooLarge, with a sentence that says what is wrong.
    """
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("Send JSON, with the header Content-Type: application/json.")
    try:
        found = json.loads(request.get_data())
    except (ValueError, RecursionError):
        raise BadRequest("The body is not JSON.") from None
    if not isinstance(found, dict):
        raise BadRequest('The body must be an object, {"text": "hola"}.')
    text, id = found.get("text"), found.get("id")
    if id is None:
        id = uuid.uuid4().hex
    if not isinstance(id, str) or not _ID.fullmatch(id):
        raise BadRequest('"id" must be 8 to 64 letters, digits, or one of ".", "_", ":", "-".')
    return Message(_checked(text), id)


def _checked(text: object) -> str:
    if not isinstance(text, str):
        raise BadRequest('"text" is missing, or is not a text.')
    if not text.strip():
        raise BadRequest("The message is empty.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadRequest("The text holds half a character.") from None
    if len(text) > MAX_TEXT:
        raise TooLarge(f"the message has {len(text):,} characters, at most {MAX_TEXT:,} go")
    return text
