"""The program behind the course: it checks, grades, releases and explains. See README.md."""

__version__ = "0.1.0"
