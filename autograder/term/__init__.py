"""A term as it is run: assignments, people, attempts, and what learning-management systems give and take."""
