"""How long requests to the Hugging Face hub wait for an answer: its library waits for ever."""

from functools import cache
from typing import Any

CHANGES_NO_RESULT = "how long to wait for what is always the same"


@cache
def bound() -> None:
    """Have no request of this process wait for longer than the hub's own default, 10 s."""
    from huggingface_hub import constants, get_session, set_client_factory

    client = get_session()
    hooks = client.event_hooks

    def bounded(request: Any) -> None:
        # Most requests of the library say that they wait for ever.
        request.extensions["timeout"] = {
            what: constants.DEFAULT_REQUEST_TIMEOUT if seconds is None else seconds
            for what, seconds in request.extensions["timeout"].items()
        }

    hooks["request"].append(bounded)
    set_client_factory(lambda: type(client)(event_hooks=hooks, follow_redirects=True))
