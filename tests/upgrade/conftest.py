"""The modules that the upgrade tests share have assertions too: pytest shows what they compared."""

import pytest

pytest.register_assert_rewrite("two_versions", "upgrade_reading", "upgrade_scenario")
