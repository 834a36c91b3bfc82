"""The one exception users see: what is wrong, with which file or setting, and what to do about it."""


class LimenError(Exception):
    """An error the user can mend. Its text is one line that names the file or setting and the remedy; the command line prints just that.

    >>> import limen
    >>> try:
    ...     limen.create_backbone("tinny")
    ... except limen.LimenError as error:
    ...     print(error)
    ...
    backbone 'tinny' is not known; did you mean 'tiny'?
    """


class UnreadableImage(LimenError):
    """An image that cannot be used. Training replaces and counts it, evaluation reports it as a failure to acquire."""


class LimenWarning(UserWarning):
    """What was left out, or found another way than asked for. The command line prints its text in one line, and goes on."""
