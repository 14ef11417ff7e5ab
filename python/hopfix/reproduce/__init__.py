"""Reproductions of published work, one module each."""
