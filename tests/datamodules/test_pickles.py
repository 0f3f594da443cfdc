import os
import pickle

import numpy as np
import pytest

from irec.datamodules.pickles import load_arrays
from irec.errors import DataError

CONTENTS = {
    "data": np.random.default_rng(0).integers(0, 256, (5, 12), dtype=np.uint8),
    "labels": [1, 2, 3, 4, 1000],
    "mean": np.linspace(0, 255, 12),
    "swapped": np.arange(3, dtype=">i4"),
    "columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
}


@pytest.mark.parametrize("protocol", range(5))
def test_arrays_come_back(protocol):
    arrays = load_arrays(pickle.dumps(CONTENTS, protocol), "batch")
    assert arrays.keys() == CONTENTS.keys() - {"labels"}
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, CONTENTS[name])
        assert array.dtype == CONTENTS[name].dtype


def test_what_older_versions_of_numpy_wrote_is_read():
    data = pickle.dumps(CONTENTS, 2)
    modules = {b"numpy._core.multiarray": b"numpy.core.multiarray"}
    for new, old in [*modules.items(), *((old, new) for new, old in modules.items())]:
        arrays = load_arrays(data.replace(new, old), "batch")
        np.testing.assert_array_equal(arrays["data"], CONTENTS["data"])


class Calls:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "hostile",
    [
        Calls(os.system, "touch hostile"),
        Calls(eval, "open('hostile', 'w')"),
        Calls(np.load, "hostile"),
        Calls(getattr, "text", "__class__"),
        Calls(np.dtype, "O"),
        Calls(np.dtype, "V8"),
    ],
)
def test_pickles_that_call_anything_are_refused(tmp_path, monkeypatch, hostile):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="batch: not a pickle of arrays that is safe to read"):
        load_arrays(pickle.dumps({"data": hostile}, 2), "batch")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a pickle",
        pickle.dumps(CONTENTS, 2)[:-20],
        pickle.dumps([CONTENTS["data"]]),
        pickle.dumps({"data": np.array([{}, None])}, 2),
    ],
)
def test_damage_is_named(data):
    with pytest.raises(DataError, match="batch: not a pickle of arrays"):
        load_arrays(data, "batch")
