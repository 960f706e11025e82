"""Data: episodes at rest, importers, windows, protocols."""
