"""What devices of some makers do differently, as people reported it: data (quirks.toml), and who it is about."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct, convert

from hemsd.echonet.classes.device import Device

Epc = Annotated[str, Meta(pattern="^[89A-F][0-9A-F]$")]


class Quirk(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One thing that was reported: of which devices, what of it concerns us, and where."""

    maker: Annotated[str, Meta(pattern="^[0-9A-F]{6}$")]  # EPC 8A
    classes: tuple[Annotated[str, Meta(pattern="^[0-9A-F]{4}$")], ...] = ()  # none: all
    product: str = ""  # how EPC 8C begins
    because: Annotated[str, Meta(min_length=1)]
    source: Annotated[str, Meta(min_length=1)]
    alone: tuple[Epc, ...] = ()
    never: tuple[Epc, ...] = ()
    batch: Annotated[int, Meta(ge=1, le=255)] | None = None
    gap_s: Annotated[float, Meta(gt=0, le=60)] | None = None
    answer_s: Annotated[float, Meta(gt=0, le=60)] | None = None
    settle_s: Annotated[float, Meta(gt=0, le=60)] | None = None

    def is_about(self, device: Device) -> bool:
        """Whether the device is one of those."""
        return (
            device.maker == self.maker
            and (not self.classes or f"{device.code:04X}" in self.classes)
            and device.product.startswith(self.product)
        )


class Quirks(Struct, frozen=True, kw_only=True):
    """How to deal with one device beyond what its class says; None: as with any other."""

    alone: frozenset[int] = frozenset()  # properties that it answers only when nothing else is asked with them
    never: frozenset[int] = frozenset()  # that are not asked for
    batch: int | None = None  # as many properties in a request at most
    gap_s: float | None = None  # from its answer to the next request
    answer_s: float | None = None  # it may take to answer
    settle_s: float | None = None  # it takes to show the effect of a write


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    quirk: tuple[Quirk, ...]


@cache
def reported() -> tuple[Quirk, ...]:
    """All that was reported. Raises msgspec.ValidationError or tomllib.TOMLDecodeError where the file is broken."""
    text = Path(__file__).with_name("quirks.toml").read_text("utf-8")
    return convert(tomllib.loads(text), _File).quirk


def quirks_of(device: Device) -> Quirks:
    """What was reported of devices like this one; where several reports differ, the most careful of them."""
    about = [quirk for quirk in reported() if quirk.is_about(device)]

    def most(name: str) -> float | None:
        return max((value for quirk in about if (value := getattr(quirk, name)) is not None), default=None)

    return Quirks(
        alone=frozenset(int(epc, 16) for quirk in about for epc in quirk.alone),
        never=frozenset(int(epc, 16) for quirk in about for epc in quirk.never),
        batch=min((quirk.batch for quirk in about if quirk.batch is not None), default=None),
        gap_s=most("gap_s"),
        answer_s=most("answer_s"),
        settle_s=most("settle_s"),
    )
