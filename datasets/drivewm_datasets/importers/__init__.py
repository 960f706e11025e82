"""Foreign formats to the tracks table, one file a source."""
