"""Compares a TOML document with its msgspec schema and says in plain words what does not fit, and where it stands."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Annotated, Literal, get_args, get_origin

import msgspec
from msgspec import Struct
from msgspec.structs import fields

NAMES: Mapping[object, str] = {str: "text in quotes", bool: "true or false", int: "a whole number", float: "a number"}

Where = tuple[str, str]  # table and key; "" for the top level, and for a table itself
Problem = tuple[Where, str]


def problems(document: Mapping[str, object], schema: type[Struct]) -> list[Problem]:
    """Everything in the document that the schema does not allow, each with its place; a fitting one has none.

    A field's msgspec.Meta(description=...) completes the sentence "must be ...". Text is never repeated: it may
    be a secret.
    """
    found = list(_table_problems(document, schema, "", schema))
    if not found:
        try:
            msgspec.convert(document, schema)
        except msgspec.ValidationError as error:  # what only a whole table can tell
            text, _, place = str(error).partition(" - at `$.")
            table = place.rstrip("`")
            found = [((table, ""), f"[{table}] {text}" if table else text)]
    return found


def line_numbers(text: str) -> dict[Where, int]:
    """The line of each table and key in the text of a document; those written inline or dotted are not found."""
    found: dict[Where, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([^]]+?)\s*]", line):
            table = header[1]
            found.setdefault((table, ""), number)
        elif key := re.match(r'\s*"?([^"=#\s]+)"?\s*=', line):
            found.setdefault((table, key[1]), number)
    return found


def suggestion(word: str, known: tuple[str, ...]) -> str | None:
    """The known word that was probably meant."""
    return next(iter(difflib.get_close_matches(word, known, 1)), None)


def _table_problems(
    table: Mapping[str, object], schema: type[Struct], name: str, root: type[Struct]
) -> Iterator[Problem]:
    known = {field.encode_name: field for field in fields(schema)}
    for key, value in table.items():
        inner = _join(name, key)
        if key not in known:
            if isinstance(value, dict):
                yield (inner, ""), _unknown_table(key, schema, name)
            else:
                yield (name, key), _unknown_key(key, schema, name, root)
        elif deeper := _table_type(known[key].type):
            if isinstance(value, dict):
                yield from _table_problems(value, deeper, inner, root)
            else:
                yield (name, key), f"{key} must be a table: write [{inner}] with its keys below it"
        elif not _fits(value, known[key].type):
            where = f"[{name}] {key}" if name else key
            yield (name, key), f"{where} must be {_expected(known[key].type)}, not {_shown(value)}"
    for key, field in known.items():
        if field.required and key not in table:
            yield (name, ""), f"{f'[{name}] {key}' if name else key} is missing"


def _unknown_table(key: str, schema: type[Struct], name: str) -> str:
    tables = tuple(field.encode_name for field in fields(schema) if _table_type(field.type))
    text = f"there is no table [{_join(name, key)}]"
    if near := suggestion(key, tables):
        return f"{text}; did you mean [{_join(name, near)}]?"
    return f"{text}; tables are {', '.join(tables)}" if tables else text


def _unknown_key(key: str, schema: type[Struct], name: str, root: type[Struct]) -> str:
    keys = tuple(field.encode_name for field in fields(schema) if not _table_type(field.type))
    text = f'{f"[{name}]" if name else "the top level"} has no key "{key}"'
    if near := suggestion(key, keys):
        return f'{text}; did you mean "{near}"?'
    if home := next(_homes(key, root, ""), None):
        return f"{text}; it belongs into [{home}]"
    return f"{text}; keys are {', '.join(keys)}" if keys else text


def _homes(key: str, schema: type[Struct], name: str) -> Iterator[str]:
    """The tables that have a key."""
    for field in fields(schema):
        if deeper := _table_type(field.type):
            yield from _homes(key, deeper, _join(name, field.encode_name))
        elif field.encode_name == key and name:
            yield name


def _join(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


def _table_type(kind: object) -> type[Struct] | None:
    parts = (kind, *get_args(kind))
    return next((part for part in parts if isinstance(part, type) and issubclass(part, Struct)), None)


def _fits(value: object, kind: object) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _expected(kind: object) -> str:
    """What a value of this type must be, in words that follow "must be"."""
    parts = get_args(kind)
    if get_origin(kind) is Annotated:
        return next((note.description for note in parts[1:] if note.description), None) or _expected(parts[0])
    if get_origin(kind) is Literal:
        words = [json.dumps(value) for value in parts]
        return words[0] if len(words) == 1 else f"one of {', '.join(words)}"
    if parts:
        return " or ".join(_expected(part) for part in parts if part is not NoneType)
    return NAMES[kind]


def _shown(value: object) -> str:
    match value:
        case bool() | int() | float():
            return json.dumps(value)
        case str():
            return "this text"
        case dict():
            return "a table"
        case list():
            return "a list"
        case _:
            return "a date or time"
