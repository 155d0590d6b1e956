"""The node actor: one for each Ray node that has ranks."""
