"""What several files of tests train on."""

import pytest


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A small data folder in AudioSet's layout."""
    from audioset_shards import write_data

    folder = tmp_path_factory.mktemp("audioset")
    write_data(folder)
    return folder
