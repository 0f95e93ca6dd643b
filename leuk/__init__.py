"""Leuk: white cells in photographs of blood and marrow smears, read honestly.

Research use only, not a medical device.
"""

__version__ = "0.1.0"
