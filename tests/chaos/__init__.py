"""Random faults of every kind while processes in two regions write and read. ``make chaos`` runs it.

Each process writes down what it does, before and after. Afterwards, :mod:`tests.chaos.checker` judges that history.
"""
