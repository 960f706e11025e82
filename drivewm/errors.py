"""The error a user can act on: one line, no traceback on the command line."""


class InputError(ValueError):
    """Bad input: the message says what was expected, what came and what to do, in one line."""


class DivergedError(InputError):
    """A training whose loss is no longer finite."""
