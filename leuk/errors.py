"""The errors that a user can cause, each with one sentence that says what is wrong and what to do."""


class LeukError(Exception):
    """Base of every error that is the input's fault rather than the program's.

    The message is one plain sentence, fit to be shown to a user as it stands.
    """


class ImageError(LeukError):
    """An image can't be read: its bytes, its type or its size are not what Leuk accepts."""


class ModelError(LeukError):
    """A model can't be used: unknown name, missing or altered weights, a card that doesn't fit the network."""


class DataError(LeukError):
    """A data set can't be used: a folder, a table or a label is missing or malformed."""


class OptionError(LeukError):
    """An option names something that does not exist: a segmentation method, a heat-map method, a class."""


class Cancelled(LeukError):
    """The user stopped a long job."""
