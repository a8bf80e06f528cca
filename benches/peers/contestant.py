"""What takes part, on the Python side."""


class Contestant:
    """A call that computes, and one that gives its result as a flat array. `weights` are the elements that it reads."""

    def __init__(self, name, dtype, weights, run, result):
        size = 4 if dtype == "f32" else 2
        self.run, self.result = run, result
        self.described = {"name": name, "activations": dtype, "weights": dtype, "bytes": weights * size}
