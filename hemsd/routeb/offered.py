"""What the meter may read of us: the sums of the house, on our controller object. Pure.

ITU-T G.9958, 6.3.1 (2) and 6.3.2 (2): a controller can aggregate information of its appliances and transfer the sums
to the meter. Neither class 05FF nor the super class (Appendix, release R) has a property for them, so they are in the
range F0 to FF that is each maker's own. No meter in Japan reads them today.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hemsd.echonet.objects import encode_property_map
from hemsd.hub.messages import SiteAggregate

SUMS: Final[Mapping[int, str]] = {
    0xF0: "grid_w",
    0xF1: "pv_w",
    0xF2: "battery_w",
    0xF3: "ev_w",
    0xF4: "known_loads_w",
    0xF5: "rest_w",
}
"""Fields of SiteAggregate by property code: signed, 4 bytes, in watts."""

NO_DATA: Final = 0x7FFFFFFE  # as the Appendix has it for signed numbers of 4 bytes
MOST_W: Final = 0x7FFFFFFD
COMMON: Final[Mapping[int, bytes]] = {
    0x80: b"\x30",  # in operation
    0x82: b"\x00\x00R\x03",  # release R, revision 3
    0x88: b"\x42",  # no fault
    0x8A: b"\xff\xff\xff",  # the maker code of whoever is not a member of the consortium
    0x9D: encode_property_map(()),
    0x9E: encode_property_map(()),
}
OFFERED: Final = frozenset({*COMMON, *SUMS, 0x9F})
"""All that the meter may ever read."""


def offered(sums: SiteAggregate) -> dict[int, bytes]:
    """The properties that show these sums; what is not known is "no data"."""
    told = {epc: _edt(getattr(sums, field)) for epc, field in SUMS.items()}
    whole = {**COMMON, **told}
    return {**whole, 0x9F: encode_property_map([*whole, 0x9F])}


def _edt(power_w: int | None) -> bytes:
    value = NO_DATA if power_w is None else max(-MOST_W, min(MOST_W, power_w))
    return value.to_bytes(4, "big", signed=True)
