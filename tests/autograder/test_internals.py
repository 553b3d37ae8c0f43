"""What the suites use of pytest and hypothesis that is private: that it is there, and that its absence is said."""

import importlib
from types import SimpleNamespace

import pytest
from hypothesis import Phase, given, settings
from hypothesis.strategies import integers

from autograder.course import GraderError
from autograder.suites import internals
from autograder.suites.internals import EVERYTHING, Private


@pytest.mark.parametrize("private", EVERYTHING, ids=lambda private: f"{private.module}.{private.path}")
def test_it_is_where_it_was(private):
    """Each name is found, and is what it was."""
    private.found()


@pytest.mark.parametrize(
    ("private", "named"),
    [
        (Private("pytest", "_pytest.runner", "runtestprotocol2"), "_pytest.runner.runtestprotocol2"),
        (Private("pytest", "_pytest.config", "Config._do_it"), "_pytest.config.Config._do_it"),
        (Private("pytest", "_pytest.gone", "x"), "_pytest.gone.x"),
        (
            Private("hypothesis", "hypothesis.internal.constants_ast", "Constants", ("function",)),
            "a type of hypothesis.internal.constants_ast.Constants, and not a function",
        ),
    ],
)
def test_what_has_moved_is_named(private, named):
    """A name that is gone is an error that says which, and of which library."""
    with pytest.raises(GraderError, match=r"constraints\.txt") as error:
        internals.check_internals([private])
    assert named in str(error.value)
    assert private.library in str(error.value)


@pytest.mark.parametrize(
    ("use", "name"),
    [
        (internals.tear_down, "_setupstate"),
        (internals.fixture_names, "_fixtureinfo"),
        (internals.settings_of, "_hypothesis_internal_use_settings"),
    ],
)
def test_an_attribute_that_has_moved_is_named(use, name):
    """What stands in objects is seen when it is used."""
    with pytest.raises(GraderError, match=name):
        use(SimpleNamespace())


def test_hypothesis_tries_no_numbers_of_loaded_modules(tmp_path, monkeypatch):
    """Also of a module that was loaded after the suites' plugin, in the folder from which the program runs."""
    (tmp_path / "numbers_of_mine.py").write_text("CHOSEN = 834217\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("numbers_of_mine")
    internals.no_local_constants()  # twice is as good as once
    drawn = []

    @settings(max_examples=2000, database=None, phases=[Phase.generate], derandomize=True, deadline=None)
    @given(integers())
    def draw(number):
        drawn.append(number)

    draw()
    assert len(drawn) > 1000
    assert 834217 not in drawn
