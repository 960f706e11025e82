"""A stand-in for a CARLA 0.9.16 server: its wire protocol, without Unreal, pictures or a GPU.

It proves that a client program speaks CARLA's language; its physics is ours, not CARLA's.
"""
