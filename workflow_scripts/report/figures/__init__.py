"""The report's figures: one module a figure, and what they share."""
