"""Servers for the tests of the page and of its API."""

import pytest

from lab.web import serving, settings_for


@pytest.fixture
def server(state, tmp_path):
    """With a login and tokens."""
    with serving(state, "-c", str(settings_for(tmp_path))) as one:
        yield one
