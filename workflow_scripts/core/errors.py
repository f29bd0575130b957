"""The exception whose message is for the user, and short messages of other exceptions."""

CHANGES_NO_RESULT = "the messages that the user reads"


class UserError(Exception):
    """Bad input. The message is one line: the file and key, what is wrong, and how to fix it."""


def first_line(error: BaseException | str) -> str:
    """Return the first line of a message that is not blank; for an empty one, the exception's type.

    Libraries raise exceptions without a message, and ones that begin with an empty line.
    """
    lines = (line.strip() for line in str(error).splitlines())
    nothing = "no message" if isinstance(error, str) else type(error).__name__
    return next(filter(None, lines), nothing)


def last_line(output: str) -> str:
    """Return the last line of a program's output that is not blank."""
    return first_line("\n".join(reversed(output.splitlines())))
