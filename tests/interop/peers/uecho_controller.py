"""A controller of uecho."""

from __future__ import annotations

from typing import Any

from lines import listen
from uecho import Controller
from uecho.messages import Message

controller = Controller()


def found() -> dict[str, list[str]]:
    return {node.ip: sorted(f"{each.code:06X}" for each in node.objects) for node in controller.nodes}


def request(eoj: int, esv: int, properties: dict[str, str]) -> Message:
    made = Message()
    made.DEOJ, made.ESV = eoj, esv
    for epc, edt in properties.items():
        made.add_property((int(epc, 16), bytes.fromhex(edt)))
    return made


def asks(address: str, eoj: int, esv: int, properties: dict[str, str]) -> Any:
    """What a request is answered with; None: nothing."""
    answer = controller.post_message(request(eoj, esv, properties), address)
    if answer is None:
        return None
    told = {f"{each.code:02X}": bytes(each.data).hex() for each in answer.properties}
    return {"esv": answer.ESV, "seoj": answer.SEOJ, "properties": told}


def says(address: str, eoj: int, esv: int, properties: dict[str, str]) -> bool:
    """Send a request and do not wait."""
    return bool(controller.send_message(request(eoj, esv, properties), address))


if not controller.start():
    raise SystemExit("it does not start")
listen(found=found, asks=asks, says=says)
