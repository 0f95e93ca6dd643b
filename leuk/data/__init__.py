"""Data sets, their splits and traps, and synthetic smears with known truth."""
