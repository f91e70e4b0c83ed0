"""A home energy management controller as ITU-T G.9958 lays it out."""

__version__ = "0.1.0"
