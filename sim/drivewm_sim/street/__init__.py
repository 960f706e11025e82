"""Behaviour: who is on the street, what they see, what they decide, how they move."""
