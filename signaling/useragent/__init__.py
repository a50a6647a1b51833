"""Placeholder docstring: the owner of this package writes what lives here and what may import it."""
