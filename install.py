"""Sets the course up, on every system: `python install.py`, as often as you like. `make` runs it by itself.

It makes `.venv` beside this file and installs into it what constraints.txt says. `python install.py --help` has more.
"""

import sys

if sys.version_info < (3, 11):  # said before anything is read that an older Python cannot read
    sys.exit(
        "Python 3.11 or later is needed, and this is %d.%d (%s).\n"
        "If you have a newer one: make PYTHON=python3.12, or python3.12 install.py (Windows: py -3.12 install.py).\n"
        "If not: https://www.python.org/downloads/" % (sys.version_info[0], sys.version_info[1], sys.executable)
    )

from autograder.setup.main import main

if __name__ == "__main__":
    sys.exit(main())
