"""Two regions on one machine, 80 ms apart: run it with ``make demo`` or ``python -m examples.two_regions``.

Start reading at ``app.py``: a small peewee app, in which one line has to do with regions, and ``pony_app.py``, the same
with Pony. ``visitor.py`` uses them, ``stage.py`` puts them into two regions, and ``__main__.py`` tells the story.
"""
