"""Measures of deception, with their intervals, resamples and controls."""
