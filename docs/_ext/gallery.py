"""The order of the tutorials: that in which a reader needs them."""

ORDER = ("own_folder", "threshold", "quality", "wrong_labels", "fine_tune", "two_models", "identify", "elsewhere")


class InOrder:
    def __init__(self, folder):
        self.folder = folder

    def __call__(self, name):
        return ORDER.index(name.removesuffix(".py"))
