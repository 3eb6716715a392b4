"""Which pages may open a socket here?"""

from __future__ import annotations

import pytest
from django.test import override_settings

from console.origins import is_own


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000", True),
        ("https://models.example.org", "models.example.org", True),
        ("https://elsewhere.example.org", "models.example.org", True),  # trusted by name
        ("http://127.0.0.1:9000", "127.0.0.1:8000", False),  # another site of the same machine gets the same cookies
        ("https://evil.example", "models.example.org", False),
        ("https://evil.example", "evil.example", False),  # a name we do not serve under
        ("https://models.example.org.evil.example", "models.example.org", False),
        ("null", "models.example.org", False),
        ("", "models.example.org", False),
        ("http://models.example.org", "", False),
    ],
)
@override_settings(
    ALLOWED_HOSTS=["127.0.0.1", "models.example.org"], CSRF_TRUSTED_ORIGINS=["https://elsewhere.example.org"]
)
def test_only_the_address_it_was_sent_to(origin: str, host: str, own: bool) -> None:
    assert is_own(origin, host) is own
