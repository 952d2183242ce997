"""What people and clients send: JSON or a form, read into a msgspec Struct, every bad field named at once."""

from __future__ import annotations

import re
import types
from functools import lru_cache
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from litestar import Request
from litestar.datastructures import UploadFile
from msgspec.structs import FieldInfo

from strvsocial.errors import BadInput, UnsupportedMedia

S = TypeVar("S", bound=msgspec.Struct)

_JSON = "application/json"
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
MAX_FORM_FIELDS = 200


async def read_input(request: Request[Any, Any, Any], schema: type[S]) -> S:
    """The request's body as `schema`. A field left out must have a default; `msgspec.UNSET` tells it from `null`.

    Raises:
        BadInput: `fields` names each field that is missing, unknown, of the wrong type or out of its bounds.
        UnsupportedMedia: the body is neither JSON nor a form.
    """
    kind = request.headers.get("content-type", "").split(";", 1)[0].strip().lower()
    if kind in _FORMS:
        return check_fields(await _read_form(request, schema), schema, strict=False)
    if kind == _JSON or not kind:
        return check_fields(_decode(await request.body()), schema)
    raise UnsupportedMedia("Send JSON or a form.")


def check_fields(values: dict[str, Any], schema: type[S], *, strict: bool = True) -> S:
    """`values` as `schema`; see `read_input`. `strict=False` also reads numbers and truth from text."""
    names = {field.encode_name: field for field in msgspec.structs.fields(schema)}
    wrong: dict[str, str] = {name: "There is no such field." for name in values if name not in names}
    good: dict[str, Any] = {}
    for name, field in names.items():
        if name in values:
            try:
                good[field.name] = _convert(schema, field, values[name], strict)
            except (msgspec.ValidationError, ValueError) as error:
                wrong[name] = say(str(error))
        elif field.required:
            wrong[name] = "This is needed."
    if wrong:
        raise BadInput(fields={_printable(name): message for name, message in wrong.items()})
    return schema(**good)


def _decode(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        values = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput("This is not valid JSON.") from error
    if not isinstance(values, dict):
        raise BadInput("Send a JSON object.")
    return values


async def _read_form(request: Request[Any, Any, Any], schema: type[msgspec.Struct]) -> dict[str, Any]:
    form = await request.form()
    pairs = list(form.multi_items())
    if len(pairs) > MAX_FORM_FIELDS:
        raise BadInput("That form has too many fields.")
    lists = {field.encode_name for field in msgspec.structs.fields(schema) if _takes_list(field.type)}
    values: dict[str, Any] = {}
    for name, value in pairs:
        if isinstance(value, UploadFile):
            raise BadInput(fields={_printable(name): "No file belongs here."})
        if name in lists:
            values.setdefault(name, []).append(value)
        else:
            values[name] = value
    return values


def _takes_list(kind: Any) -> bool:
    if get_origin(kind) is Annotated:
        return _takes_list(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return any(_takes_list(part) for part in get_args(kind))
    return kind is list or get_origin(kind) is list


@lru_cache(maxsize=512)
def _single(schema: type[msgspec.Struct], name: str) -> type[msgspec.Struct]:
    """A Struct of one field of `schema`, so that each can be checked by itself."""
    hints = get_type_hints(schema, include_extras=True)
    return msgspec.defstruct("Single", [("value", hints[name])])


def _convert(schema: type[msgspec.Struct], field: FieldInfo, value: Any, strict: bool) -> Any:
    _refuse_unstorable(value)
    if not strict and value == "on":
        value = "true" if _takes_bool(field.type) else value
    single: Any = msgspec.convert({"value": value}, _single(schema, field.name), strict=strict)
    return single.value


def _takes_bool(kind: Any) -> bool:
    return kind is bool or any(_takes_bool(part) for part in get_args(kind))


def _refuse_unstorable(value: Any) -> None:
    """Text that PostgreSQL cannot keep: a NUL, or half of a surrogate pair."""
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("This holds a NUL character, which we cannot keep.")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("This holds half a character, which we cannot keep.") from None
    elif isinstance(value, list):
        for item in value:
            _refuse_unstorable(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            _refuse_unstorable(name)
            _refuse_unstorable(item)


_SAYINGS = (
    (re.compile(r"Expected `str` of length <= (\d+)"), r"At most \1 characters, please."),
    (re.compile(r"Expected `str` of length >= 1\b"), r"This is needed."),
    (re.compile(r"Expected `str` of length >= (\d+)"), r"At least \1 characters, please."),
    (re.compile(r"Expected `array` of length <= (\d+)"), r"At most \1 of these, please."),
    (re.compile(r"Expected `(?:int|float)` >= (-?[\d.]+)"), r"This must be at least \1."),
    (re.compile(r"Expected `(?:int|float)` <= (-?[\d.]+)"), r"This must be at most \1."),
    (re.compile(r"Expected `([^`]+)`, got `([^`]+)`"), r"This must be \1, not \2."),
    (re.compile(r"Invalid enum value '?(.{0,40}?)'?( - at .*)?$"), r"“\1” is not one of the choices."),
)
_TYPE_NAMES = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "array": "a list"}


def say(message: str) -> str:
    """msgspec's message as a sentence for people."""
    for pattern, sentence in _SAYINGS:
        if found := pattern.search(message):
            said = found.expand(sentence)
            return re.sub(r"\b(str|int|float|bool|array)\b", lambda name: _TYPE_NAMES[name[0]], said)
    plain = message.split(" - at ", 1)[0].replace("`", "")
    return plain if plain.endswith(".") else f"{plain}."


def _printable(name: str) -> str:
    """A field name fit for an answer, whatever the client called it."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)[:64]
