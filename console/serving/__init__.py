"""How an installation is started, watched, reloaded and stopped.

`manage.py serve` checks that it may start (`preparation`), binds the address and becomes the supervisor (`supervisor`),
a small process without Django. That one starts the web workers (`web`, with the server in `server`) and the background
processes (`background`), restarts what dies, and passes signals on.
"""
