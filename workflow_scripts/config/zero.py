"""DeepSpeed's buffers under ZeRO: settings that are the same in every run.

They stand here because both sides need the same numbers: the trainer hands them to DeepSpeed, and
the memory model counts the bytes that they take.
"""

CHANGES_NO_RESULT = "how much of a GPU's memory ZeRO's buffers take"

BUCKET = 200_000_000
"""Gradients that ZeRO reduces at once, in elements."""
LIVE = 300_000_000
"""Weights that ZeRO-3 keeps whole at once, in elements."""
