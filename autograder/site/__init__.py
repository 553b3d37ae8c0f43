"""The course as a place to read: a static site of the lessons, the map and the docs, which asks no other host."""
