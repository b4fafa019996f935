"""How long something takes."""

from fly_orm.deadline import now


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self):
        self.began = now()

    @property
    def seconds(self):
        return now() - self.began
