"""Worlds: the embedded simulator, CARLA, and collection of episodes."""
