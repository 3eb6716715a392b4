"""Mail, where it is configured. A mail that cannot be sent is said, and never stops what was asked for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from smtplib import SMTPException
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.template.loader import render_to_string

logger = logging.getLogger(__name__)


def mail_configured() -> bool:
    return bool(settings.EMAIL_URL)


def send(template: str, to: list[str], context: Mapping[str, Any]) -> bool:
    """True when the server took it. `template` names `email/<template>_subject.txt` and `email/<template>.txt`."""
    if not mail_configured() or not to:
        return False
    subject = " ".join(render_to_string(f"email/{template}_subject.txt", dict(context)).split())
    body = render_to_string(f"email/{template}.txt", dict(context))
    try:
        return send_mail(subject, body, None, to) > 0
    except (OSError, SMTPException) as error:
        # Name of the error only: its text can repeat what the server was sent.
        logger.warning("mail %s was not sent: %s", template, type(error).__name__)
        return False
