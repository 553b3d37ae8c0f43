"""How a command ends: its exit codes, which scripts rely on."""

OK, BELOW, USAGE, FAILED = 0, 1, 2, 3  # fine; not passed; asked for what makes no sense; the grader itself failed
