"""Share of the hourly transmission time at the fastest pace, and requests that a slow meter is sent twice."""

from __future__ import annotations

from hemsd.hub.messages import AIR_ALLOWED_S
from tests.benchmarks.processes import Failed, python, started
from tests.benchmarks.report import Row

DEADLINE_S = 120.0
READINGS, REQUESTS = 84_000, 2_400  # at least, in the day that passes


async def airtime() -> list[Row]:
    """Share of the allowed air time at one read a second; requests that a slow meter is sent twice."""
    async with started("env", "PYTHONPATH=tests", *python("by_house")) as house:
        told = await house.told(DEADLINE_S)
        await house.end(DEADLINE_S)
    if told["readings"] < READINGS or told["requests"] < REQUESTS:
        raise Failed(f"the meter was not read as it should have been: {told}")
    share = "air time, one read a second for a day"
    return [
        Row(name=f"{share}, by the module", unit="%", hemsd=100 * told["module_s"] / AIR_ALLOWED_S, goal=10),
        Row(name=f"{share}, by our ledger", unit="%", hemsd=100 * told["ledger_s"] / AIR_ALLOWED_S, goal=10),
        Row(name="the module sent nothing any more in that day", unit="", hemsd=told["limited"], goal=0),
        Row(name="requests repeated, answers within 5 s (95 %)", unit="", hemsd=told["repeated"], goal=0),
    ]
