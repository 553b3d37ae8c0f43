"""The far side: the only place where student code runs. Nothing here imports anything from the near side."""
