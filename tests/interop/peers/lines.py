"""How our tests speak with a program: a JSON object a line, both ways."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from typing import Any


def tell(**line: Any) -> None:
    print(json.dumps(line), flush=True)


def listen(**deeds: Callable[..., Any]) -> None:
    """Do what is said until nobody is there to say it; each deed gets the words that came with it."""
    tell(ready=True)
    for text in sys.stdin:
        asked = json.loads(text)
        try:
            tell(number=asked["number"], result=deeds[asked["do"]](*asked["words"]))
        except Exception:
            tell(number=asked["number"], error=traceback.format_exc())
