"""What is built from the exercises: each module here runs the student's own code."""

import autograder  # noqa: F401  (before PyTorch is loaded: see there for how its threads wait)
