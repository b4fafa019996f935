"""Two regions on one machine, 80 ms apart: run it with ``make demo`` or ``python -m examples.two_regions``.

Start with ``app.py``, a small peewee app in which a single line is about regions, and ``pony_app.py``, the same app
with Pony. ``visitor.py`` uses them, ``stage.py`` starts the two regions, and ``__main__.py`` runs the demo.
"""
