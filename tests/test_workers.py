"""How pytest-xdist deals the tests out."""

import os

import pytest


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="a single process")
def test_tests_that_share_something_go_to_one_worker(request: pytest.FixtureRequest):
    """What takes a minute to make would be made by every worker, and nothing would say so."""
    assert request.node.nodeid.endswith(f"@{request.path.name}")
