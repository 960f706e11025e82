"""What sensors of a CARLA world measure."""
