"""nbgrader: its course folder, and its autograding with the locked grader.

Everything else of nbgrader (exchange, gradebook, feedback, formgrader, export) is used as it is.
"""
