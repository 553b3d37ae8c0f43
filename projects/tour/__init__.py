"""A tour inside SmolLM2-135M-Instruct, from the text that goes in to what it makes up: a module for each theme."""
