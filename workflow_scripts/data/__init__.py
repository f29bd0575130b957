"""Preference pairs: generated worlds, sources, formats, screening, the four sets, and labels."""
