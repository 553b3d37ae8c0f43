"""One exercise of one submission: a process that loads the student's modules, answers requests and ends."""

from __future__ import annotations

import importlib
import os
import random
import signal
import sys
import warnings
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from autograder.isolation.between.channel import Channel
from autograder.isolation.between.executor import Executor
from autograder.isolation.between.importer import MemoryImporter
from autograder.isolation.between.messages import UNPROTECTED, Answer, Limits, Ready, Request, Start
from autograder.isolation.between.wire import WireError, decode, encode
from autograder.isolation.far import profiles, refusals
from autograder.isolation.far.errors import definitions, describe
from autograder.isolation.far.output import BoundedOutput

OUTPUT_LIMIT = 4096  # characters a request
MAX_WARNINGS = 5


def serve(channel: Channel, parent: int) -> None:
    """Answers requests until the near side hangs up. The first message says what to load, and how locked in.

    Args:
        channel: the conversation with the near side.
        parent: the process that started this one; without it, there is nobody who would end this one.
    """
    start = Start(*decode(channel.receive()))
    _be_deterministic()
    output = BoundedOutput(OUTPUT_LIMIT)
    sys.stdout = sys.stderr = output
    sys.stdin = None  # asking a question is an error at once, not a wait for ever
    sys.breakpointhook = _go_on  # nobody is there to debug; `autograder debug` stops at it
    if start.protection != UNPROTECTED:
        try:
            profiles.shut_in(start.protection, Limits(*start.limits), start.readable, start.secrets)
        except (OSError, ImportError, ValueError) as error:
            channel.send(encode(Ready(_why(error))))
            return
        if os.getppid() not in (
            parent,
            0,
        ):  # 0: it is in another namespace; it died before this process asked to be ended with it
            return
    # Said before any student code runs, so that none can say it: from here on every answer is suspect.
    channel.send(encode(Ready()))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the near side, which ends this process
    sys.setrecursionlimit(1000)

    importer = MemoryImporter(start.sources)
    importer.install()
    modules: dict[str, ModuleType] = {}
    executor = Executor(modules)
    own = list(start.sources)
    files = {f"{name}.py" for name in own}

    def load() -> dict[str, tuple[int, int]]:
        name = start.name
        modules[name] = importlib.import_module(name)
        return definitions(importer.get_source(name))

    warned: list[str] = []
    warnings.simplefilter("always")
    warnings.showwarning = lambda message, category, *_: warned.append(f"{category.__name__}: {message}"[:200])

    def answer(work: Callable[[], tuple[Any, list[str]]]) -> bytes:
        warned.clear()
        try:
            value, changed = work()
            answer = Answer(value, None, tuple(changed), output.take(), tuple(warned[:MAX_WARNINGS]))
            return encode(answer, executor.refer, own)
        except BaseException as error:  # whatever student code raises, `SystemExit` too, is its answer
            failure = describe(error, files, refusals.take_refused())
            return encode(Answer(failure=failure, output=output.take()))

    channel.receive()  # the word to begin
    channel.send(answer(lambda: (load(), [])))
    while True:
        request = Request(*decode(channel.receive(), executor.resolve))
        channel.send(answer(partial(executor.execute, request)))


def _go_on(*_: object, **__: object) -> None:
    """What `breakpoint()` does here."""


def _why(error: Exception) -> str:
    """Why a child cannot be shut in, without the number that Python puts before it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {error.filename}" if error.filename else "")
    return str(error) or type(error).__name__


def _be_deterministic() -> None:
    """The same submission gets the same grade, so its random numbers are the same each time."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


def run(channel: Channel, parent: int) -> None:
    """Serves and ends the process, without clean-up handlers, which student code may have added to."""
    status = 1
    try:
        serve(channel, parent)
    except (EOFError, OSError):
        status = 0
    except WireError:
        status = 2
    finally:
        os._exit(status)
