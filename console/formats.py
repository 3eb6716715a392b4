"""How a number, an amount or a moment is said, in the language and time zone of the page.

The type has no narrow no-break space (U+202F), so groups and units use U+00A0. A minus is U+2212.
"""

from __future__ import annotations

from datetime import datetime
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from babel import Locale
from babel.dates import format_datetime
from babel.numbers import format_currency, format_decimal, format_percent
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext as _

NANO = Decimal(10) ** 9
CENT = Decimal("0.01")
MOST_DECIMALS = 6
SPACE = "\u00a0"
RECENT_SECONDS = 3600
SCALES = ((10**9, "B"), (10**6, "M"), (10**3, "k"))


def money(nano: int | None, currency: str, decimals: int | None = None) -> str:
    """Two decimals from one cent up; below, two significant digits. A column gives the `decimals` of its finest row."""
    if nano is None:
        return "–"
    amount = Decimal(nano) / NANO
    return _currency(amount, currency, decimals_of(nano) if decimals is None else decimals)


def exact(amount: Decimal, currency: str, decimals: int = 2) -> str:
    """An amount to its last digit, with at least this many decimals."""
    finest = -int(amount.normalize().as_tuple().exponent)
    return _currency(amount, currency, max(decimals, finest))


def money_big(nano: int, currency: str) -> str:
    """A forecast of more than a thousand shows no cents: they would claim too much."""
    amount = Decimal(nano) / NANO
    return _currency(amount, currency, 0 if abs(amount) >= 1000 else decimals_of(nano))


def decimals_of(nano: int) -> int:
    """How many decimals an amount needs to be told from zero."""
    return _decimals(Decimal(nano) / NANO)


def price(input_per_million: Decimal, output_per_million: Decimal, currency: str) -> str:
    """Per million tokens, in and out."""
    return f"{_price(input_per_million, currency)} / {_price(output_per_million, currency)}"


def tokens(count: int | None) -> str:
    """In full below 10,000, then with one decimal and a letter."""
    if count is None:
        return "–"
    if abs(count) < 10_000:
        return number(count)
    for size, letter in SCALES:
        if abs(count) >= size:
            gap = SPACE if _locale().language == "fr" else ""
            return f"{_decimal(Decimal(count) / size, 1)}{gap}{letter}"
    return number(count)


def number(value: int | float | Decimal) -> str:
    return _tidy(format_decimal(value, locale=_locale()))


def duration(milliseconds: int | float | None) -> str:
    """380 ms, 8.4 s, 2 min 5 s."""
    if milliseconds is None:
        return "–"
    if round(milliseconds) < 1000:
        return f"{round(milliseconds)}{SPACE}ms"
    seconds = Decimal(str(milliseconds)) / 1000
    if seconds < Decimal("59.95"):
        return f"{_decimal(seconds, 1)}{SPACE}s"
    whole = int(seconds.to_integral_value(ROUND_HALF_UP))
    minutes, rest = divmod(whole, 60)
    return f"{minutes}{SPACE}min" + (f"{SPACE}{rest}{SPACE}s" if rest else "")


def difference(milliseconds: int | float | None) -> str:
    """Of two durations, with its sign."""
    if milliseconds is None:
        return "–"
    sign = "\u2212" if milliseconds < 0 else "+" if milliseconds > 0 else ""
    return sign + duration(abs(milliseconds))


def pct(share: float | Decimal | None, *, comparing: bool = False) -> str:
    """A share of one. One decimal below ten per cent, and wherever two shares are compared; those carry their sign."""
    if share is None:
        return "–"
    value = Decimal(str(share))
    fine = comparing or abs(value) < Decimal("0.0995")
    text = format_percent(value, format=_percent_pattern("0.0" if fine else "0"), locale=_locale())
    return ("+" if comparing and value > 0 else "") + _tidy(text)


def success(share: float | None) -> str:
    """A share that is nearly one, never rounded up to it: 99.94%, 97.8%."""
    if share is None:
        return "–"
    value = Decimal(str(share))
    places = 0 if value == 1 else 2 if value >= Decimal("0.99") else 1
    cut = value.quantize(Decimal(1).scaleb(-2 - places), ROUND_DOWN)
    pattern = _percent_pattern("0" + ("." + "0" * places if places else ""))
    return _tidy(format_percent(cut, format=pattern, locale=_locale()))


def moment(at: datetime, now: datetime | None = None) -> str:
    """21 Nov, 14:05; with the year when it is another one."""
    local = timezone.localtime(at)
    this_year = timezone.localtime(now or timezone.now()).year == local.year
    # Translators: patterns of a date; their letters are not words (d day, MMM month, y year, HH:mm time).
    pattern = _("d MMM, HH:mm") if this_year else _("d MMM y, HH:mm")
    return _tidy(format_datetime(local, pattern, tzinfo=local.tzinfo, locale=_locale()))


def when(at: datetime | None, now: datetime | None = None) -> SafeString | str:
    """Under an hour ago in words with the moment as its title, otherwise the moment."""
    if at is None:
        return "–"
    now = now or timezone.now()
    words = full = moment(at, now)
    if 0 <= (now - at).total_seconds() < RECENT_SECONDS:
        words = ago(at, now)
    return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(timespec="seconds"), full, words)


def ago(at: datetime, now: datetime) -> str:
    minutes = int((now - at).total_seconds() // 60)
    return _("%(n)d min ago") % {"n": minutes} if minutes else _("just now")


def _decimals(amount: Decimal) -> int:
    if amount == 0:
        return 2
    two_digits = round(amount, 1 - amount.adjusted())
    return 2 if abs(two_digits) >= CENT else min(MOST_DECIMALS, 1 - two_digits.adjusted())


def _currency(amount: Decimal, currency: str, decimals: int) -> str:
    step = Decimal(1).scaleb(-decimals)
    rounded = amount.quantize(step, ROUND_HALF_UP)
    if amount > 0 and rounded == 0:
        return f"<{SPACE}{_currency(step, currency, decimals)}"  # something was spent: a zero would be wrong
    pattern = _locale().currency_formats["standard"].pattern.split(";")[0]
    pattern = pattern.replace("0.00", "0." + "0" * decimals if decimals else "0")
    return _tidy(format_currency(rounded, currency, pattern, locale=_locale(), currency_digits=False))


def _price(amount: Decimal, currency: str) -> str:
    return _currency(
        amount, currency, 2 if amount == 0 or amount >= CENT else min(MOST_DECIMALS, 1 - amount.adjusted())
    )


def _decimal(value: Decimal, places: int) -> str:
    return _tidy(format_decimal(value, format="#,##0." + "0" * places, locale=_locale()))


def _percent_pattern(digits: str) -> str:
    return str(_locale().percent_formats[None].pattern).replace("#,##0", "#,##" + digits)


def _locale() -> Locale:
    return Locale.parse((get_language() or "en").replace("-", "_"))


def _tidy(text: str) -> str:
    text = text.replace("\u202f", SPACE)
    return "\u2212" + text[1:] if text.startswith("-") else text
