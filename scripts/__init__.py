"""The doors: one script per rule."""
