"""Servers for the tests of the page and of its API."""

import shutil

import pytest

from lab.web import serving, settings_for


@pytest.fixture(scope="module")
def calm(replayed, tmp_path_factory):
    """A server for tests that change nothing in its state folder."""
    folder = tmp_path_factory.mktemp("calm")
    shutil.copytree(replayed, folder / "state")
    with serving(folder / "state", "-c", str(settings_for(folder))) as one:
        yield one


@pytest.fixture
def server(state, tmp_path):
    """With a login and tokens."""
    with serving(state, "-c", str(settings_for(tmp_path))) as one:
        yield one
