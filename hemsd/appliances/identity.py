"""Who a node is, whatever its address: what it says of itself, and how far that can be believed. Pure.

ECHONET Lite Specification 1.14, part II, 6.11.1 (identification number 83); ECHONET Appendix release R, 2.3 (8A, 8C,
8D). The number is the same for a node and all its instances, absent on old meters, all zero on cheap stacks, and
the same on two nodes now and then: a node has several claims, from the best to the worst, and the first that no other
living node makes is its identity. The last one, its address, is always its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from hemsd.echonet.objects import SUPER_CLASS, Release
from hemsd.echonet.values import PropertyError

ID_BYTES: Final = 4  # of the hash in an appliance's id
TEXT_MAX: Final = 48  # characters kept of what a node calls itself (12 bytes, escaped)
_BLANK: Final = (b"\x00", b"\xff", b" ")


class Particulars(Struct, frozen=True):
    """What an object says of itself; empty where it does not."""

    identification: str = ""  # EPC 83 in hexadecimal, if it can be believed
    maker: str = ""  # 8A, 6 hexadecimal digits
    product: str = ""  # 8C
    serial: str = ""  # 8D
    release: str = ""  # 82, the letter; of a device, not of a node profile

    def told(self, properties: Mapping[int, bytes]) -> Particulars:
        """The same with what properties of the super class say; what is not understood changes nothing."""
        said = self
        for epc, (field, read) in _FIELDS.items():
            if epc in properties and (text := read(epc, properties[epc])) is not None:
                said = replace(said, **{field: text})
        return said

    def merged(self, newer: Particulars) -> Particulars:
        """What is known with what was said since."""
        return replace(self, **{name: text for name in self.__struct_fields__ if (text := getattr(newer, name))})

    def contradicted(self, newer: Particulars) -> bool:
        """Whether this cannot be the one who says that: something else stands where both say something."""
        pairs = [(getattr(self, name), getattr(newer, name)) for name in self.__struct_fields__]
        return any(mine and others and mine != others for mine, others in pairs)


def believable(edt: bytes) -> bool:
    """Whether an identification number (83) can be one: FE, a maker, and 13 bytes that say something."""
    return len(edt) == 17 and edt[0] == 0xFE and not any(edt[4:] == blank * 13 for blank in _BLANK)


def claims(said: Particulars, address: str) -> tuple[str, ...]:
    """Who a node claims to be, from the best claim to the worst."""
    best = (f"83:{said.identification}",) if said.identification else ()
    good = (f"8D:{said.maker}/{said.product}/{said.serial}",) if said.serial else ()
    return (*best, *good, f"at:{said.maker}/{said.product}/{address}")


def appliance_id(identity: str, eoj: int) -> str:
    """What an appliance is called outside: its class, and a hash of who it is; the same for ever."""
    return f"{eoj >> 8:04x}-{blake2b(f'{identity}/{eoj:06X}'.encode(), digest_size=ID_BYTES).hexdigest()}"


def _identification(_: int, edt: bytes) -> str | None:
    return edt.hex().upper() if believable(edt) else None


def _maker(_: int, edt: bytes) -> str | None:
    return edt.hex().upper() if len(edt) == 3 else None


def _text(_: int, edt: bytes) -> str | None:
    """Makers pad with zeros or blanks, and some send more than the 12 bytes."""
    text = edt.split(b"\x00")[0].strip(b" \xff").decode("ascii", "backslashreplace")
    return "".join(filter(str.isprintable, text))[:TEXT_MAX].strip()


def _release(epc: int, edt: bytes) -> str | None:
    try:
        release = SUPER_CLASS[epc].decode(epc, edt)
    except PropertyError:
        return None
    return release.letter if isinstance(release, Release) else None


_FIELDS: Final = {
    0x82: ("release", _release),
    0x83: ("identification", _identification),
    0x8A: ("maker", _maker),
    0x8C: ("product", _text),
    0x8D: ("serial", _text),
}
