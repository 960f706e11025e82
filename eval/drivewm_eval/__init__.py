"""Judging: metrics, evaluation against recordings, reports."""
