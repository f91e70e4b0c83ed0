"""Decoding one answer with power and currents, beside pychonet; correctness comes before speed here."""

from __future__ import annotations

import timeit
from collections.abc import Callable

from hemsd.echonet import frame, meter
from tests.benchmarks.report import Row

ANSWER = bytes.fromhex("1081000102880105FF017202E704000001F4E80400320014")
TIMES = 5000
ROUNDS = 7


async def codec() -> list[Row]:
    """Decoding a frame with power and currents, beside pychonet."""
    from pychonet.lib.functions import decodeEchonetMsg
    from pychonet.LowVoltageSmartElectricEnergyMeter import LowVoltageSmartElectricEnergyMeter as PychonetMeter

    def ours() -> None:
        for told in frame.decode(ANSWER).properties:
            meter.decode(told.epc, told.edt)

    def pychonet() -> None:
        for found in decodeEchonetMsg(ANSWER)["OPC"]:
            PychonetMeter.EPC_FUNCTIONS[found["EPC"]](found["EDT"])

    return [Row(name="decode a frame", unit="us", hemsd=_us(ours), peer=_us(pychonet))]


def _us(work: Callable[[], None]) -> float:
    return min(timeit.repeat(work, number=TIMES, repeat=ROUNDS)) / TIMES * 1e6
