"""The near side: starts workers, sends requests, and believes nothing that comes back."""
