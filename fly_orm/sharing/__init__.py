"""What the processes share that serve one address together, the workers of ``fly-orm serve --workers``.

A *supervisor* (:mod:`fly_orm.supervising`) starts them. Each finds here what it has
inherited from it, and its siblings.
"""
