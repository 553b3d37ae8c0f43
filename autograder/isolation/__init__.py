"""The trust boundary: a far side that runs student code, a near side that judges it, and what crosses between."""
