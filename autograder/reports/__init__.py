"""Grades as what people and other programs read."""
