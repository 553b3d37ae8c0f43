"""One exercise of one submission on the far side, and the record of all that it was asked."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from autograder.course import Budget
from autograder.isolation.between.messages import LIBRARY, LOAD, UNPROTECTED, Answer, Failure, Ready, Request, Start
from autograder.isolation.between.wire import Allowance, Handle, decode, encode
from autograder.isolation.near.answers import checked_answer, checked_definitions
from autograder.isolation.near.failures import Stopped, Unfit, as_raised
from autograder.isolation.near.protocols import Child, Confinement, Died, OutOfTime, Worker, WorkerError

STARTS = 3  # of a child: a fork that the system refuses is often granted a moment later
KEPT = Allowance(size=8 * 2**20, values=2**15)  # of a session that rests; right answers take less than a hundredth
PAUSE = 0.05  # seconds before the second start, and four times as many before the third


@dataclass(frozen=True)
class Call:
    """A request and what came of it, as they are recorded.

    Attributes:
        message: the request as it was sent, whatever the suite did to its arrays later.
        changed: the arguments (position or name) that the call changed in place.
        output: what it printed.
        warnings: what it was warned of, as "RuntimeWarning: overflow encountered in exp".
        owner: the type of the object that was asked, if it was one.
    """

    message: bytes
    value: Any = None
    failure: Failure | None = None
    changed: tuple[str, ...] = ()
    output: str = ""
    warnings: tuple[str, ...] = ()
    owner: str = ""

    @cached_property
    def request(self) -> Request:
        """What was asked."""
        return Request(*decode(self.message))

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """What was handed over, by position ("0", "1") or name."""
        return {**{str(index): value for index, value in enumerate(self.request.args)}, **self.request.kwargs}

    @property
    def of_library(self) -> bool:
        """Whether the target is an installed library's, or the machine's, and not the submission's."""
        start = self.request.path[0] if self.request.path else LIBRARY
        return isinstance(start, str) and start.startswith(LIBRARY)

    @property
    def name(self) -> str:
        """The target as a student writes it, without the module: `softmax`, `MiniTransformerBlock.forward`."""
        start, *attributes = self.request.path or ("",)
        parts = [*attributes] if isinstance(start, str) else [self.owner or start.type_name, *attributes]
        return ".".join(parts)


@dataclass
class Session:
    """One exercise of one submission on the far side, from its first call to its end.

    Attributes:
        sources: the modules that the child gets, the exercise's among them.
        calls: everything that was asked so far.
        definitions: the first and last line of each function and class, once loaded.
        allowance: how much its answers may hold together: they are kept, and so must fit the grader's memory.
    """

    worker: Worker
    name: str
    sources: Mapping[str, str]
    budget: Budget = field(default_factory=Budget)
    confinement: Confinement = field(default_factory=Confinement)
    readable: Sequence[str] = ()
    calls: list[Call] = field(default_factory=list)
    definitions: dict[str, tuple[int, int]] = field(default_factory=dict)
    allowance: Allowance = field(default_factory=Allowance)
    loading_failure: Failure | None = None
    _named: set[str] = field(default_factory=set)  # what suites have asked for
    _child: Child | None = None
    _starts: int = 0
    _spent: float = 0.0  # seconds of waiting for it; what the suite itself takes is not its business

    def load(self) -> Failure | None:
        """Starts the child and imports the module; returns what went wrong, if anything did.

        Raises:
            WorkerError: there is no child, and no submission is to blame.
        """
        if self._child is None and self.loading_failure is None:
            self._start()
        return self.loading_failure

    def perform(self, request: Request) -> Any:
        """Performs a request over there and records it.

        Raises:
            StudentError: student code raised something.
            Stopped: there will be no answer.
            Unfit: the grader itself is in trouble.
        """
        try:
            if failure := self.load():
                raise Stopped(failure)
            self._named.update(part for part in request.path if isinstance(part, str))
            call = replace(self._ask(request), owner=self._owner(request))
        except WorkerError as error:
            self._child = None  # it is the worker's, and so gone with it
            raise Unfit(error) from None
        self.calls.append(call)
        if call.failure is None:
            return call.value
        if call.failure.kind in ("timeout", "crashed"):
            raise Stopped(call.failure)
        raise as_raised(call.failure)

    @property
    def asked(self) -> frozenset[str]:
        """The names that suites have asked for: of functions, classes and methods."""
        return frozenset(self._named)

    @property
    def is_large(self) -> bool:
        """Whether its answers take more than may be kept of each of many sessions."""
        whole = Allowance()
        size, values = whole.size - self.allowance.size, whole.values - self.allowance.values
        return size > KEPT.size or values > KEPT.values

    def rest(self) -> None:
        """Ends the child as planned: the next call gets a fresh one, which is no restart."""
        if self._child is not None:
            self._starts -= 1
        self.end()

    def end(self) -> None:
        """Ends the child, whatever it is doing."""
        if self._child is not None:
            child, self._child = self._child, None
            with suppress(WorkerError):  # the worker is gone, and the child with it
                child.end()

    def _start(self) -> None:
        if self._starts > self.budget.restarts:
            self.loading_failure = Failure("timeout" if self._last_kind() == "timeout" else "crashed")
            return
        self._starts += 1
        self._child = self._fresh_child()
        answer = self._exchange(encode(LOAD), self.budget.load)
        if answer.failure is not None:
            self.loading_failure = answer.failure
            self.end()
            return
        try:
            # Believed once: a later child may have learned something that it would like to tell by them.
            self.definitions = self.definitions or checked_definitions(answer.value, self.sources[self.name])
        except Exception:  # see `_exchange`
            self.loading_failure = Failure("crashed")
            self.end()

    def _fresh_child(self) -> Child:
        """A child that is shut in and waits for the word to load."""
        for attempt in range(1, STARTS):
            try:
                return self._try_to_start()
            except WorkerError:
                time.sleep(PAUSE * attempt**2)
        return self._try_to_start()

    def _try_to_start(self) -> Child:
        protection = self.worker.protection if self.confinement.locked else UNPROTECTED
        start = Start(
            self.name, dict(self.sources), protection, self.confinement.limits, [*self.readable], [*self.worker.secrets]
        )
        child = self.worker.child()
        # No student code runs before the first answer, so this one can be believed.
        try:
            ready = Ready(*decode(child.ask(encode(start), self.budget.load)))
        except (OutOfTime, Died):
            child.end()
            raise WorkerError(
                "a child of the worker does not start: the machine is too busy, or lacks memory"
            ) from None
        if ready.why_not:
            child.end()
            raise WorkerError(f"a submission cannot be shut in on this machine: {ready.why_not}")
        return child

    def _owner(self, request: Request) -> str:
        """The type of the object that is asked, where this side knows the name: others could tell anything."""
        start = request.path[0] if request.path else None
        if not isinstance(start, Handle):
            return ""
        return start.type_name if start.type_name in self._named | self.definitions.keys() else "object"

    def _last_kind(self) -> str:
        return next((call.failure.kind for call in reversed(self.calls) if call.failure), "")

    def _ask(self, request: Request) -> Call:
        message = encode(request)
        left = self.budget.exercise - self._spent
        if left <= 0:
            self.end()
            self.loading_failure = Failure("timeout")
            return Call(message, failure=self.loading_failure)
        answer = self._exchange(message, min(left, self.budget.call))
        call = Call(message, answer.value, answer.failure, (), answer.output, answer.warnings)
        changed = tuple(name for name in call.arguments if name in answer.changed) if answer.changed else ()
        return replace(call, changed=changed)

    def _exchange(self, message: bytes, seconds: float) -> Answer:
        assert self._child is not None
        child, begun, waited = self._child, time.monotonic(), self._child.waited()
        try:
            data = child.ask(message, seconds)
        except OutOfTime:
            failure = Failure("timeout")
        except Died as died:
            failure = Failure("crashed", status=died.status)
        else:
            try:
                return checked_answer(data, self.sources, self.allowance)
            except Exception:  # an answer that is none: only code that writes to our channel sends one
                failure = Failure("crashed")
        finally:
            self._spent += time.monotonic() - begun - (child.waited() - waited)
        self.end()
        return Answer(failure=failure)
