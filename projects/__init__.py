"""What is built from the exercises: each module here runs the student's own code."""
