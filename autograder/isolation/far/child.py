"""One exercise of one submission: a process that loads the student's modules, answers requests and ends."""

from __future__ import annotations

import importlib
import os
import random
import signal
import sys
from types import ModuleType
from typing import Any

from autograder.isolation.between.channel import Channel
from autograder.isolation.between.executor import Executor, Request
from autograder.isolation.between.wire import WireError, decode, encode
from autograder.isolation.far import lockdown
from autograder.isolation.far.errors import definitions, describe
from autograder.isolation.far.importer import MemoryImporter
from autograder.isolation.far.output import BoundedOutput

OUTPUT_LIMIT = 4096  # characters a request


def serve(channel: Channel) -> None:
    """Answers requests until the near side hangs up. The first message says what to load, and how locked in."""
    start = decode(channel.receive())
    _be_deterministic()
    output = BoundedOutput(OUTPUT_LIMIT)
    sys.stdout = sys.stderr = output
    sys.stdin = None  # type: ignore[assignment]  # asking a question is an error at once, not a wait for ever
    if start["locked"]:
        lockdown.apply(start["limits"], start["readable"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the near side, which ends this process
    sys.setrecursionlimit(1000)

    importer = MemoryImporter(start["sources"])
    importer.install()
    modules: dict[str, ModuleType] = {}
    executor = Executor(modules)
    files = {f"{name}.py" for name in start["sources"]}

    def load() -> dict[str, tuple[int, int]]:
        name = start["name"]
        modules[name] = importlib.import_module(name)
        return definitions(importer.get_source(name))

    def answer(work: Any) -> bytes:
        try:
            value, changed = work()
            return encode(("value", value, changed, output.take()), executor.refer)
        except EOFError:
            raise
        except BaseException as error:  # whatever student code raises, `SystemExit` too, is its answer
            return encode(("error", describe(error, files, lockdown.last_refused()), [], output.take()))

    channel.send(answer(lambda: (load(), [])))
    while True:
        data = channel.receive()
        request = Request(*decode(data, executor.resolve))
        channel.send(answer(lambda request=request: executor.execute(request)))


def _be_deterministic() -> None:
    """The same submission gets the same grade, so its random numbers are the same each time."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


def run(channel: Channel) -> None:
    """Serves and ends the process, without clean-up handlers, which student code may have added to."""
    status = 1
    try:
        serve(channel)
    except (EOFError, OSError):
        status = 0
    except WireError:
        status = 2
    finally:
        os._exit(status)
