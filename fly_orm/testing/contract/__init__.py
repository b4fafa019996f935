"""What every transport has to do, as tests. :class:`fly_orm.testing.TransportContract` is all of it.

``exchanges``, ``outcomes``, ``limits``, ``endings``, ``peers`` and ``forks`` hold the tests, ``setting`` what they are
given, and ``tools`` what they share.
"""

import pytest

for _module in ("exchanges", "outcomes", "limits", "endings", "peers", "forks", "tools"):
    pytest.register_assert_rewrite(f"{__name__}.{_module}")
