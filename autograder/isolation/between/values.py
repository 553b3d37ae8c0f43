"""What a plain value is made of: the one traversal of lists, tuples and dictionaries that both sides use."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from autograder.isolation.between.wire import Handle


def mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    """The value with `function` applied to each leaf; containers come out as plain lists, tuples and dictionaries."""
    if isinstance(value, list):
        return [mapped(item, function) for item in value]
    if isinstance(value, tuple):
        return tuple([mapped(item, function) for item in value])
    if isinstance(value, dict):
        return {key: mapped(item, function) for key, item in value.items()}
    return function(value)


def leaves(value: Any) -> Iterator[Any]:
    """All that is no list, tuple or dictionary, in order; of a dictionary the values."""
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def handles(value: Any) -> Iterator[Handle]:
    """The handles inside a value, in order."""
    return (leaf for leaf in leaves(value) if isinstance(leaf, Handle))


def is_tensor(value: object) -> bool:
    """Whether it is a PyTorch tensor. PyTorch is not imported for it: a value can only be a tensor if it is loaded."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)
