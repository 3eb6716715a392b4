"""The built-in pretend vendor: an ASGI application that speaks the OpenAI wire, with no network and no key.

`application` runs at the speed its models declare; `make_application(pace=0)` answers at once, for tests and benches.
A broken connection is said the ASGI way: the application returns without a last `more_body=False`, so a server closes
the socket, and whoever calls it in memory must take that for a cut.
"""

from __future__ import annotations

from providers.demo.application import Application, application, make_application
from providers.demo.catalogue import MODELS, Fault, Model
from providers.demo.counting import count

__all__ = ["MODELS", "Application", "Fault", "Model", "application", "count", "make_application"]
