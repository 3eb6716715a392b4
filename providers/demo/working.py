"""What can be worked out honestly without a model: a sum, and the sentences of a text that carry most of it."""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal, DivisionByZero, InvalidOperation, localcontext

from providers.demo.language import plain, quotable

_NUMBER = r"\d{1,15}(?:[.,]\d{1,6})?"
_SUM = re.compile(rf"(?<![\w.]){_NUMBER}(?:\s*[-+*/x×÷−]\s*{_NUMBER}){{1,8}}(?![\w.]*\d)")
_SHARE = re.compile(rf"({_NUMBER})\s?%\s*(?:of|de|von|des|del)\s+[^\d\n]{{0,12}}({_NUMBER})", re.IGNORECASE)
_SIGNS = {"*": "×", "x": "×", "/": "÷", "-": "−"}


def worked_sum(text: str, language: str) -> str | None:
    """The first sum in a text with its result, written the way of the language: `17 × 23 = 391`."""
    share = _SHARE.search(text)
    if share:
        part, whole = (_decimal(number) for number in share.groups())
        shown = _shown(part * whole / 100, language)
        return f"{_shown(part, language)} % × {_shown(whole, language)} = {shown}"
    found = _SUM.search(text)
    if found is None or re.fullmatch(r"\d{1,4}(?:-\d{1,2}){2}", found.group()):  # a date is no subtraction
        return None
    numbers = [_decimal(number) for number in re.findall(_NUMBER, found.group())]
    signs = [_SIGNS.get(sign, sign) for sign in re.findall(r"[-+*/x×÷−]", found.group())]
    try:
        with localcontext() as context:
            context.prec = 40
            result = _result(numbers, signs)
    except (DivisionByZero, InvalidOperation):
        return None
    terms = [_shown(numbers[0], language)]
    for sign, number in zip(signs, numbers[1:], strict=True):
        terms += [sign, _shown(number, language)]
    return f"{' '.join(terms)} = {_shown(result, language)}"


def _decimal(number: str) -> Decimal:
    return Decimal(number.replace(",", "."))


def _result(numbers: list[Decimal], signs: list[str]) -> Decimal:
    """Products before sums, left to right."""
    terms, adding = [numbers[0]], []
    for sign, number in zip(signs, numbers[1:], strict=True):
        if sign == "×":
            terms[-1] *= number
        elif sign == "÷":
            terms[-1] /= number
        else:
            terms.append(number)
            adding.append(sign)
    result = terms[0]
    for sign, term in zip(adding, terms[1:], strict=True):
        result = result + term if sign == "+" else result - term
    return result


_SEPARATORS = {"en": (",", "."), "fr": ("\u202f", ","), "de": (".", ","), "es": (".", ",")}


def _shown(number: Decimal, language: str) -> str:
    with localcontext() as context:
        context.prec = 60
        rounded = round(number, 6)
    text = f"{rounded:,f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    thousands, point = _SEPARATORS[language]
    marks = {ord("-"): "−", ord(","): thousands, ord("."): point}
    return text.translate(marks)


def key_sentences(text: str, most: int = 3) -> list[str]:
    """The sentences whose words come back most often in the text, in the order they were written. Empty if too few."""
    text = text[:20_000]
    head, mark, rest = text.partition("\n")
    if not mark:
        head, mark, rest = text.partition(":")
    if mark and len(rest) > len(head):
        text = rest
    found = (re.sub(r"\s+", " ", one).strip(" -*•") for one in re.split(r"(?<=[.!?…])\s+|\n+", text))
    sentences = [one for one in found if len(one) > 25][:200]
    if len(sentences) < 3:
        return []
    words = [{word for word in re.findall(r"\w+", plain(one)) if len(word) > 4} for one in sentences]
    seen = Counter(word for each in words for word in each)
    # Long sentences hold more words; dividing keeps one of them from always winning.
    weight = [sum(seen[word] - 1 for word in each) / (len(each) + 3) for each in words]
    chosen = sorted(sorted(range(len(sentences)), key=lambda at: -weight[at])[:most])
    return [quoted for at in chosen if (quoted := quotable(sentences[at], longest=180))]
