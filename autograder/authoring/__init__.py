"""What instructors make and measure a course with: stubs, the map, `verify`, mutants and releases."""
