"""The statistics of a street, real or simulated: what its people and vehicles do, in figures."""
