"""The catalogue of classes for tests: every property there is, and how long its data is by the table alone."""

from __future__ import annotations

from collections.abc import Iterator

from hemsd.echonet.classes import table
from hemsd.echonet.classes.catalogue import DeviceClass, PropertyClass, class_names, device_class

RELEASES = "ABCDEFGHIJKLMNPQR"  # there is no O


def a_class(code: int) -> DeviceClass:
    """A class that there is."""
    found = device_class(code)
    assert found is not None
    return found


def every_property() -> Iterator[PropertyClass]:
    """Each span of releases of each property of each class, once."""
    for code in class_names():
        spans = {id(each): each for release in RELEASES for each in a_class(code).by_epc(release).values()}
        yield from (each for each in spans.values() if each.owner.code == code)


def size(data: table.Data) -> int:
    """How many bytes some data has, at most."""
    match data:
        case table.NumberData(format=form):
            return int(form.strip("uint")) // 8
        case table.StateData():
            return len(next(iter(data.enum | data.read_only)).partition("...")[0]) // 2
        case table.LevelData(base=base):
            return len(base) // 2
        case table.ObjectData(fields=fields):
            return sum(map(size, fields.values()))
        case table.ArrayData(maximum=maximum, items=items):
            return maximum * size(items)
        case table.BytesData(maximum=maximum):
            return maximum
        case table.OneOfData(of=of):
            return size(of[-1])
        case table.DateData():
            return 4
        case _:
            return data.size
