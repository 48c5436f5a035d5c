"""Features to actions: one algorithm a file, and the parts they share."""
