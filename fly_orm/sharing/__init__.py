"""What the processes share that serve one address together, the workers of ``fly-orm serve --workers``.

The *supervisor* (:mod:`fly_orm.supervising`) starts the workers. Each worker finds here what it has inherited from the
supervisor, and its siblings.
"""
