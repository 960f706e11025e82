"""Maps: OpenDRIVE in, lanes and walkable strips out."""
