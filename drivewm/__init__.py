"""drivewm: what people and vehicles will do next, and what they will do if you drive differently."""

__version__ = "0.1.0"
