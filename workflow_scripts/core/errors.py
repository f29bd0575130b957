"""The one exception that a user, rather than a developer, is meant to read."""

CHANGES_NO_RESULT = "what the user is told"


class UserError(Exception):
    """Bad input. The message is one line: the file and key, what is wrong, and the mend."""
