"""The program behind the course: it checks, grades, releases and explains. See README.md."""

import os

__version__ = "0.1.0"

# Threads that wait for each other must not keep other programs, or each other, from the processor. OpenMP asks for it
# when a library that uses it is loaded, so it is said before any of them: in every command, notebook and picture.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
