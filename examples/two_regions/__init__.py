"""Two regions on one machine, 80 ms apart: run it with ``make demo`` or ``python -m examples.two_regions``.

Start reading at ``app.py``: a small peewee app, in which one line has to do with regions. ``visitor.py`` uses it,
``stage.py`` puts it into two regions, and ``__main__.py`` tells the story.
"""
