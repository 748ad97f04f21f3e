"""What several files of tests train on."""

import pytest


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A small data folder in AudioSet's layout."""
    from audioset_shards import write_data

    folder = tmp_path_factory.mktemp("audioset")
    write_data(folder)
    return folder


@pytest.fixture(scope="session")
def clips(data):
    """Its training part."""
    from training.audioset.data import load_part

    return load_part(data, "bal_train")


@pytest.fixture(scope="session")
def classes(data):
    """Its classes."""
    from training.audioset.data import ClassList

    return ClassList.load(data)
