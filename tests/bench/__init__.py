"""Benchmarks, run by ``make bench``. Each module measures one thing and returns a table; none asserts anything.

``writes``, ``reads``, ``wire`` (between two nodes), ``size`` (memory and imports), ``growth`` (a model of many regions,
and points of it that are measured) and ``endurance`` (minutes each, run by name) hold the benchmarks;
``catalogue.py`` lists them. ``publishing`` stores what was measured, draws it and writes it into the pages.
"""
