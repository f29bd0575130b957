"""How long requests to the Hugging Face hub wait for an answer: its library waits for ever."""

import logging
from functools import cache
from typing import Any

CHANGES_NO_RESULT = "how long to wait for what is always the same"


@cache
def bound() -> None:
    """Have no request of this process wait for longer than the hub's own default, 10 s.

    Nor is there a line for every retry. Who sets ``HF_HUB_DOWNLOAD_TIMEOUT`` or
    ``HF_HUB_ETAG_TIMEOUT`` to more waits that long.
    """
    from huggingface_hub import constants, get_session, set_client_factory

    client = get_session()
    hooks = client.event_hooks

    def bounded(request: Any) -> None:
        longest = max(
            constants.DEFAULT_REQUEST_TIMEOUT,
            constants.HF_HUB_DOWNLOAD_TIMEOUT,
            constants.HF_HUB_ETAG_TIMEOUT,
        )
        # Most requests of the library say that they wait for ever, and its retries a minute each.
        request.extensions["timeout"] = {
            what: longest if seconds is None else min(seconds, longest)
            for what, seconds in request.extensions["timeout"].items()
        }

    hooks["request"].append(bounded)
    set_client_factory(lambda: type(client)(event_hooks=hooks, follow_redirects=True))
    # Not a line for every file and every retry: what matters is how it ends.
    for library in ("httpx2", "huggingface_hub"):
        logging.getLogger(library).setLevel(logging.ERROR)
