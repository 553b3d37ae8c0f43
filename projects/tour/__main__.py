"""The whole tour, `make tour`, or some of its themes: `python -m projects.tour words truth`."""

from importlib import import_module

from projects.tour.guide import themes

for theme in themes():
    import_module(f"projects.tour.{theme}")
