"""SKSTACK-IP text modules: BP35A1, BP35C0, BP35C2, RL7023 Stick-D, WSR35A1-00, RS-WSUHA-P."""

from drivers.skstack.engine import Engine

__all__ = ["Engine"]
