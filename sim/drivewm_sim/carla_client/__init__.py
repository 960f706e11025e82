"""The `Simulator` protocol on a CARLA 0.9.16 server: decisions are ours, the bodies the server's."""
