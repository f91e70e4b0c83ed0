"""A node of uecho with an air conditioner; it has every property of the class, most without a value."""

from __future__ import annotations

from lines import listen, tell
from uecho import Device
from uecho.local_node import LocalNode
from uecho.object import ObjectRequestHandler
from uecho.property import Property

VALUES = {
    0x80: "31",
    0x81: "08",
    0x82: "00004a00",
    0x88: "42",
    0x8A: "ffffff",
    0xB0: "41",
    0xB2: "42",
    0xB3: "19",
    0xBB: "17",
}


class Handler(ObjectRequestHandler):  # type: ignore[misc]
    """Lets everything be read that the class has, and all be set but the fan."""

    def property_read_requested(self, prop: Property) -> bool:
        return bool(prop.is_read_enabled())

    def property_write_requested(self, prop: Property, data: bytes) -> bool:
        tell(set=f"{prop.code:02X}", to=bytes(data).hex())
        return bool(prop.is_write_enabled()) and prop.code != 0xA0


aircon = Device(0x013001)
for epc, edt in VALUES.items():
    aircon.set_property_data(epc, bytes.fromhex(edt))
aircon.set_request_handler(Handler())
node = LocalNode()
node.add_object(aircon)
if not node.start():
    raise SystemExit("it does not start")
listen(value=lambda epc: bytes(aircon.get_property_data(epc)).hex())
