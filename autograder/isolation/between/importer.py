"""Serves a submission's modules from memory: the far side has no files of the submission."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import CodeType, ModuleType


class MemoryImporter(MetaPathFinder, InspectLoader):
    """Finds and loads the modules whose sources it was given, and leaves all others to Python.

    A module's file name is `NAME.py` without a folder: tracebacks show it, and it tells a student's lines from ours.
    """

    def __init__(self, sources: Mapping[str, str]) -> None:
        self.sources = dict(sources)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Says that this importer has the module, if it does."""
        if fullname not in self.sources:
            return None
        spec = spec_from_loader(fullname, self, origin=f"{fullname}.py")
        if spec is not None:
            spec.has_location = True
        return spec

    def get_source(self, fullname: str) -> str:
        """The module's source text, also for `inspect` and tracebacks."""
        return self.sources[fullname]

    def get_code(self, fullname: str) -> CodeType:
        """The module's compiled code."""
        return compile(self.sources[fullname], f"{fullname}.py", "exec", dont_inherit=True)

    def install(self) -> None:
        """Puts this importer before all others, so that no installed package hides a submission's module."""
        sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """Takes the importer and its modules out again."""
        sys.meta_path.remove(self)
        for name in self.sources:
            sys.modules.pop(name, None)
