"""J11 binary modules: BP35C0-J11, BP35C2-J11, RS-WSUHA-J11."""

from drivers.j11.engine import Engine

__all__ = ["Engine"]
