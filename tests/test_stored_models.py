"""Files of earlier versions are loaded with the same outputs, see ``docs/model_files.md``."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import InconsistentVersionWarning

from skprune._support.stored import FORMAT
from tests import stored_models

FILES = sorted(stored_models.FOLDER.glob("*.skops"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_stored_model_gives_the_same_outputs(path):
    io = pytest.importorskip("skops.io")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        estimator = io.load(path, trusted=io.get_untrusted_types(file=path))
    with np.load(path.with_suffix(".npz")) as known:
        found = stored_models.outputs(estimator, known["X"])
        assert set(found) == set(known.files) - {"X"}
        for name, values in found.items():
            np.testing.assert_allclose(values, known[name], rtol=1e-6, atol=1e-9)


def test_every_estimator_has_a_file_of_this_format():
    names = {path.stem for path in FILES}
    assert {f"format{FORMAT}-{name}" for name in stored_models.ESTIMATORS} <= names


@pytest.mark.parametrize("name", stored_models.ESTIMATORS)
def test_every_stored_state_has_a_format_number(name):
    """Also that of an estimator inside another one."""
    estimator = stored_models.ESTIMATORS[name]
    assert estimator.__getstate__()["_format"] == FORMAT
    with pytest.raises(ValueError, match="was stored in format 99"):
        type(estimator)().__setstate__(estimator.__getstate__() | {"_format": 99})
