"""What the suites use of pytest and hypothesis that neither promises to keep: all of it, and nowhere else.

Pytest has no public way to keep a collected session and run it again, and hypothesis none to draw a test's examples
alike in every process. What a new version has moved is said by name when this module is imported, and is not left to
be found out by a grade that is another.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import hypothesis
import pytest

from autograder.course import GraderError


@dataclass(frozen=True)
class Private:
    """A name that a library keeps to itself.

    Attributes:
        library: the distribution whose it is.
        module: the module that holds it.
        path: the name there, dots between its parts.
        kinds: names of the types that it may have; empty for any.
    """

    library: str
    module: str
    path: str
    kinds: tuple[str, ...] = ()

    def found(self) -> Any:
        """What the name stands for now.

        Raises:
            GraderError: it has moved; the message says which, and in which version.
        """
        where = f"{self.module}.{self.path}"
        try:
            value: Any = importlib.import_module(self.module)
            for part in self.path.split("."):
                value = value.__dict__[part]  # as it is written: a property stays one
        except (ImportError, KeyError):
            raise _moved(self.library, f"has no {where} any more") from None
        if self.kinds and type(value).__name__ not in self.kinds:
            raise _moved(self.library, f"has made a {type(value).__name__} of {where}, and not a {self.kinds[0]}")
        return value


_PREPARE = Private("pytest", "_pytest.config", "_prepareconfig", ("function",))
_CONFIGURE = Private("pytest", "_pytest.config", "Config._do_configure", ("function",))
_PROTOCOL = Private("pytest", "_pytest.runner", "runtestprotocol", ("function",))
_TEARDOWN = Private("pytest", "_pytest.runner", "SetupState.teardown_exact", ("function",))
_CONSTANTS = Private("hypothesis", "hypothesis.internal.constants_ast", "Constants", ("type",))
_LOCAL_CONSTANTS = Private(
    "hypothesis",
    "hypothesis.internal.conjecture.providers",
    "HypothesisProvider._local_constants",
    ("cached_property", "Constants"),  # as hypothesis writes it, and as `no_local_constants` leaves it
)
EVERYTHING = (_PREPARE, _CONFIGURE, _PROTOCOL, _TEARDOWN, _CONSTANTS, _LOCAL_CONSTANTS)


def check_internals(names: Sequence[Private] = EVERYTHING) -> None:
    """Looks at every private name.

    Raises:
        GraderError: one has moved.
    """
    for name in names:
        name.found()


def prepare_config(arguments: Sequence[str], plugins: Sequence[object]) -> pytest.Config:
    """A pytest configuration from command-line arguments, not yet in use."""
    config: pytest.Config = _PREPARE.found()(list(arguments), list(plugins))
    return config


def begin_session(config: pytest.Config) -> pytest.Session:
    """A session that is not run as a whole: its tests are run one by one, as often as one likes."""
    _CONFIGURE.found()(config)
    return pytest.Session.from_config(config)


def run_item(item: pytest.Item, following: pytest.Item | None) -> None:
    """Set-up, call, and the tear-down of what the following test does not need."""
    _PROTOCOL.found()(item, log=False, nextitem=following)


def tear_down(session: pytest.Session) -> None:
    """Ends every fixture that is still in use."""
    _attribute("pytest", session, "_setupstate").teardown_exact(None)


def fixture_names(item: pytest.Function) -> Sequence[str]:
    """The fixtures among a test's own arguments."""
    names: Sequence[str] = _attribute("pytest", item, "_fixtureinfo").argnames
    return names


def settings_of(test: object) -> hypothesis.settings:
    """The settings that a property test was given."""
    settings: hypothesis.settings = _attribute("hypothesis", test, "_hypothesis_internal_use_settings")
    return settings


def no_local_constants() -> None:
    """Makes hypothesis try no numbers but its own.

    It likes to try those that stand in the modules which happen to be loaded, so that two processes with another
    history would draw other examples. It has no setting for that.
    """
    if type(_LOCAL_CONSTANTS.found()).__name__ == "cached_property":
        provider: Any = importlib.import_module(_LOCAL_CONSTANTS.module).HypothesisProvider
        provider._local_constants = _CONSTANTS.found()()


def _attribute(library: str, owner: object, name: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError:
        raise _moved(library, f"has no {name} in a {type(owner).__name__} any more") from None


def _moved(library: str, what: str) -> GraderError:
    return GraderError(
        f"{library} {version(library)} {what}, and the suites need it (autograder/suites/internals.py). "
        "Install the versions in constraints.txt."
    )


check_internals()
