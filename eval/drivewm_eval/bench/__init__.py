"""How fast the simulator is, and whether its streets last."""
