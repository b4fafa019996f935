"""What every transport has to do, as tests. :class:`fly_orm.testing.TransportContract` contains all of them.

The tests are in ``making``, ``exchanges``, ``outcomes``, ``limits``, ``endings``, ``peers`` and ``forks``. ``setting``
describes the transport under test and holds the fixtures, and ``tools`` is what the tests share.
"""

import pytest

for _module in ("making", "exchanges", "outcomes", "limits", "endings", "peers", "forks", "tools"):
    pytest.register_assert_rewrite(f"{__name__}.{_module}")
