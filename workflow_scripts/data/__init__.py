"""Data: sources and formats of preference pairs, screening, files of labelled pairs."""
