"""HTML pages that hold all that they show: no network, no script."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from autograder.reports.gates import html


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("autograder", "templates/reports"),
        autoescape=True,  # names, feedback and output were written by others
        undefined=StrictUndefined,
        finalize=html,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["points"] = lambda number: f"{number:g}"
    return environment


def page(template: str, **values: Any) -> str:
    """The page of a template."""
    return _environment().get_template(template).render(**values)
