"""The student's loop: save a file, and know how it stands before the hand is back on the keys."""
