"""Setting the course up, with Python's own library alone: nothing else is installed yet."""
