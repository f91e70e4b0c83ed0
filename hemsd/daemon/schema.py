"""Compares a TOML document with its msgspec schema and says in plain words what does not fit, and where it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Annotated, Literal, get_args, get_origin

import msgspec
from msgspec import Struct
from msgspec.structs import fields

NAMES: Mapping[object, str] = {str: "text in quotes", bool: "true or false", int: "a whole number", float: "a number"}

ANY = "NAME"  # in messages, for a name that a person chooses
Where = tuple[str, str]  # table and key; "" for the top level, and for a table itself
Problem = tuple[Where, str]


class Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the tables: what is not known is an error."""


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
    parents: dict[Where, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([^]]+?)\s*]", line):
            table = re.sub(r"\s*\.\s*", ".", header[1].replace('"', "").replace("'", ""))
            found.setdefault((table, ""), number)
            parents.setdefault((table.partition(".")[0], ""), number)
        elif key := re.match(r'\s*"?([^"=#\s]+)"?\s*=', line):
            found.setdefault((table, key[1]), number)
    return parents | found


def suggestion(word: str, known: tuple[str, ...]) -> str | None:
    """The known word that was probably meant."""
    from difflib import get_close_matches  # for those who mistype

    return next(iter(get_close_matches(word, known, 1)), None)


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
            if not isinstance(value, dict):
                header = _header(known[key].type, inner)
                yield (name, key), f"{key} must be a table: write [{header}] with its keys below it"
            elif _is_named(known[key].type):
                yield from _named_problems(value, known[key].type, deeper, inner, root)
            else:
                yield from _table_problems(value, deeper, inner, root)
        else:
            where = f"[{name}] {key}" if name else key
            yield from (((name, key), f"{where}{text}") for text in _value_problems(value, known[key].type))
    for key, field in known.items():
        if field.required and key not in table:
            yield (name, ""), f"{f'[{name}] {key}' if name else key} is missing"


def _named_problems(
    tables: Mapping[str, object], kind: object, schema: type[Struct], name: str, root: type[Struct]
) -> Iterator[Problem]:
    """What is wrong with tables of one kind whose names a person chose."""
    key_kind = get_args(kind)[0]
    for key, value in tables.items():
        inner = _join(name, key)
        if not isinstance(value, dict):
            yield (
                (name, key),
                f"[{name}] {key} belongs below a name of your choice: write [{name}.{ANY}] above it",
            )
        elif not _fits(key, key_kind):
            yield (inner, ""), f"the name in [{inner}] must be {_expected(key_kind)}"
        else:
            yield from _table_problems(value, schema, inner, root)


def _value_problems(value: object, kind: object) -> Iterator[str]:
    """What is wrong with a value, in words that follow its place."""
    if get_origin(kind) is tuple and isinstance(value, list):
        item_kind = get_args(kind)[0]
        for number, item in enumerate(value, 1):
            yield from (f": item {number}{text}" for text in _value_problems(item, item_kind))
    elif not _fits(value, kind):
        yield f" must be {_expected(kind)}, not {_shown(value)}"


def _unknown_table(key: str, schema: type[Struct], name: str) -> str:
    tables = {field.encode_name: field.type for field in fields(schema) if _table_type(field.type)}
    text = f"there is no table [{_join(name, key)}]"
    if near := suggestion(key, tuple(tables)):
        return f"{text}; did you mean [{_header(tables[near], _join(name, near))}]?"
    return f"{text}; tables are {', '.join(_header(kind, each) for each, kind in tables.items())}" if tables else text


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
            yield from _homes(key, deeper, _header(field.type, _join(name, field.encode_name)))
        elif field.encode_name == key and name:
            yield name


def _join(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


def _header(kind: object, name: str) -> str:
    """How the header of a table of this type is written."""
    return f"{name}.{ANY}" if _is_named(kind) else name


def _is_named(kind: object) -> bool:
    """Whether it stands for tables with names that a person chooses."""
    return get_origin(kind) is dict


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
        words = [_written(value) for value in parts]
        return words[0] if len(words) == 1 else f"one of {', '.join(words)}"
    if get_origin(kind) is tuple:
        return f"a list, each {_expected(parts[0])}"
    if parts:
        return " or ".join(_expected(part) for part in parts if part is not NoneType)
    return NAMES[kind]


def _shown(value: object) -> str:
    match value:
        case bool() | int() | float():
            return _written(value)
        case str():
            return "this text"
        case dict():
            return "a table"
        case list():
            return "a list"
        case _:
            return "a date or time"


def _written(value: object) -> str:
    """As it is written in the document."""
    import json  # here, because it takes memory, and a good document never needs it

    return json.dumps(value)
