"""Processes that grade and do nothing else, one for each processor core."""

from __future__ import annotations

import gc
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any


def available() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def dedicate(number: int, processes: int) -> None:
    """Pins this process to one core: it is number `number` of `processes` that only grade.

    A grader and its child take turns: on one core neither waits for the other's core to wake up, a tenth of the time.
    Another tenth would go into looking for garbage where there is none.
    """
    cores = available()
    if processes >= len(cores) > 1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cores[number % len(cores)]})
    gc.set_threshold(10_000, 20, 20)


def grading_pool(processes: int) -> ProcessPoolExecutor:
    """Spawned, not forked: each process starts as clean as the first one."""
    context = get_context("spawn")
    return ProcessPoolExecutor(
        processes, mp_context=context, initializer=_begin, initargs=(context.Value("i", 0), processes)
    )


def _begin(begun: Any, processes: int) -> None:
    with begun.get_lock():
        number = begun.value
        begun.value += 1
    dedicate(number, processes)
