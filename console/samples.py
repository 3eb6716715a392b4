"""What the style guide shows: invented providers, amounts and events, in the shapes that the pieces take."""

from __future__ import annotations

import random
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from console.charts import Axis, Series, bars, lines, spark, strip
from console.forms import PlainForm
from console.forms.sign_in import password_field

VENDORS = (
    ("OpenAI", "d1", 0.33),
    ("Anthropic", "d2", 0.24),
    ("Mistral AI", "d3", 0.14),
    ("Google Gemini", "d4", 0.11),
    ("DeepSeek", "d5", 0.09),
    ("Scaleway", "d6", 0.05),
    ("Other (5)", "d8", 0.04),
)
DAYS = 30
SO_FAR = 21
TOP = 200.0


class SampleForm(PlainForm):
    """Every kind of control, one of them wrong."""

    name = forms.CharField(label="Name", initial="openai-eu", help_text="Used in routes and logs.")
    key = forms.CharField(label="API key")
    endpoint = forms.CharField(label="Endpoint")
    budget = forms.DecimalField(label="Monthly budget", min_value=1)
    then = forms.ChoiceField(label="When the budget is reached", choices=[("economy", "Use the Economy tier")])
    id = forms.CharField(label="Key id", widget=forms.TextInput(attrs={"readonly": True, "class": "input mono"}))
    password = password_field("Password", "off")
    sticky = forms.ChoiceField(
        label="Sticky by", choices=[("user", "User"), ("key", "Key")], widget=forms.RadioSelect, initial="user"
    )
    stream = forms.BooleanField(label="Stream answers", help_text="Sends words as they arrive", required=False)
    enabled = forms.BooleanField(label="Enabled", required=False)

    def clean_key(self) -> str:
        raise ValidationError("OpenAI refused this key (401). Check that it belongs to this project.")


TYPED = {
    "name": "openai-eu",
    "key": "sk-proj-…9f2c",
    "endpoint": "eu.api.example.com/v1",
    "budget": "0",
    "then": "economy",
    "id": "key_7F3K9Q",
    "password": "sample",
    "sticky": "user",
    "stream": "on",
    "enabled": "on",
}


def samples() -> dict[str, Any]:
    drawn = random.Random(7)  # noqa: S311  # the same picture every time
    return {
        "spend": _spend(drawn),
        "budget": _budget(drawn),
        "brush": _brush(drawn),
        "legend": [(name, line) for name, line, _share in VENDORS],
        "sparks": {line: spark([drawn.uniform(20, 90) for _ in range(28)], line) for line in ("d1", "d6")},
        "day_strip": strip(
            _states(40, {20: "w", 21: "w", 33: "w", 34: "b", 35: "b"}), "Last 24 hours: 3 degraded, 2 failed"
        ),
        "long_strip": strip(
            _states(90, {12: "b", 30: "w", 55: "w", 88: "w", 89: "w"}),
            "90 days: 4 degraded, 1 with failures",
            wide=True,
        ),
        "trace": TRACE,
        "fall": FALL,
        "feed": FEED,
        "steps": STEPS,
        "plan": PLAN,
        "circuit": CIRCUIT,
        "tabs": TABS,
        "ranges": [
            {"word": "24 h", "href": "#tabs"},
            {"word": "7 days", "href": "#tabs", "on": True},
            {"word": "30 days", "href": "#tabs"},
        ],
        "providers": PROVIDERS,
        "colours": COLOURS,
        "lines": [f"d{number}" for number in range(1, 9)],
        "widths": (38, 56, 100, 88, 64),
        "form": SampleForm(TYPED, auto_id="sg_%s"),
    }


def _states(count: int, marks: dict[int, str]) -> list[str]:
    return [marks.get(place, "") for place in range(count)]


def _euros(value: float) -> str:
    return f"€{value:,.2f}"


def _spend(drawn: random.Random) -> Any:
    days = [drawn.uniform(40, 55) if day % 7 in (0, 6) else drawn.uniform(145, 175) for day in range(DAYS)]
    series = []
    for name, line, share in VENDORS:
        values = [day * share for day in days]
        series.append(Series(name, line, values, [_euros(value) for value in values]))
    axis = Axis(
        TOP,
        [f"€{tick}" for tick in (0, 50, 100, 150, 200)],
        [(0, "1 Nov"), (9, "10"), (19, "20"), (29, "30")],
        [f"{day + 1} Nov" for day in range(DAYS)],
        [_euros(day) for day in days],
    )
    return bars("Daily spend by provider, November 2026.", series, axis, forecast=SO_FAR)


def _budget(drawn: random.Random) -> Any:
    spent, line = 0.0, []
    for _day in range(DAYS):
        spent += drawn.uniform(70, 150)
        line.append(spent)
    actual = [value if day < SO_FAR else None for day, value in enumerate(line)]
    ahead = [None if day < SO_FAR - 1 else value for day, value in enumerate(line)]
    series = [
        Series("Actual", "d1", actual, ["" if value is None else f"€{value:,.0f}" for value in actual]),
        Series("Forecast", "d1", ahead, ["" if value is None else f"€{value:,.0f}" for value in ahead]),
    ]
    days = [f"{day + 1} Nov" for day in range(DAYS)]
    axis = Axis(4500, ["€0", "€1.5k", "€3k", "€4.5k"], [(0, "1"), (9, "10"), (19, "20"), (29, "30")], days)
    return lines("Spend so far against the budget, November 2026.", series, axis, limit=4000)


def _brush(drawn: random.Random) -> Any:
    good = [drawn.uniform(300, 1050) for _ in range(48)]
    rerouted = [drawn.uniform(5, 30) for _ in range(48)]
    failed = [drawn.uniform(24, 40) if drawn.random() > 0.9 else 0 for _ in range(48)]
    series = [
        Series(name, line, values, [f"{value:,.0f}" for value in values])
        for name, line, values in (
            ("First attempt", "ok", good),
            ("Rerouted", "warn", rerouted),
            ("Failed", "bad", failed),
        )
    ]
    hours = [f"{half // 2:02d}:{half % 2 * 30:02d}" for half in range(48)]
    axis = Axis(1200, ["0", "600", "1,200"], [(0, "00:00"), (24, "12:00"), (47, "24:00")], hours)
    return bars("Requests each half hour by outcome, last 24 hours.", series, axis, brush=(0.79, 0.92), height=104)


TRACE = [
    {"state": "hit", "title": "Matched Conversation, Standard", "number": "rule 9", "words": "3 of 3 conditions true"},
    {"state": "skip-step", "title": "Flag route-eu-only is on", "words": "Removed Groq, DeepSeek and Qwen"},
    {"state": "bad", "title": "Mistral AI timed out", "number": "8.0 s", "words": "Counts 1 of 5 for the circuit"},
    {"state": "ok", "title": "GPT-5 mini answers", "number": "380 ms", "words": "€0.0031 is under the €0.01 limit"},
]
FALL = [
    {"label": "Gateway", "start": 0, "long": 0.4, "colour": "d8", "value": "6 ms"},
    {
        "label": "Attempt 1",
        "mark": ("Mi", 55),
        "start": 0.4,
        "long": 80,
        "colour": "bad",
        "hatched": True,
        "value": "8.0 s",
    },
    {"label": "Timed out", "inner": True},
    {"label": "Attempt 2", "mark": ("OA", 165), "start": 80.6, "long": 19, "colour": "d1", "value": "1.9 s"},
    {"label": "First token", "inner": True, "start": 80.6, "long": 4, "colour": "d2", "value": "380 ms"},
    {"label": "Streaming", "inner": True, "start": 84.6, "long": 15, "colour": "d1", "value": "1.5 s"},
]
FEED = [
    {
        "icon": "bolt",
        "tone": "bad",
        "title": "Groq circuit open since 04:31",
        "words": "271 requests rerouted, none lost",
        "href": "#feed",
        "act": "Open Groq",
    },
    {
        "person": "Malik Bensaid",
        "title": "Malik",
        "rest": "set route-eu-only to 35%",
        "words": "Was 10%",
        "when": "17 Nov",
    },
    {
        "icon": "warn",
        "tone": "bad",
        "title": "Analysis, Enterprise",
        "words": "No provider answered within 20 s",
        "when": "13:42",
    },
]
STEPS = [
    {"done": True, "title": "First answer", "words": "Demo model, 412 ms, free"},
    {
        "next": True,
        "title": "Connect a provider",
        "words": "Paste a key, it is checked first",
        "href": "#feed",
        "act": "Connect",
    },
    {"title": "Create an API key", "words": "One base address for every client", "href": "#feed", "act": "Create key"},
]
PLAN = [
    {"state": "done", "share": "1%", "first": "10 Nov", "second": "3 days"},
    {"state": "done", "share": "10%", "first": "13 Nov", "second": "4 days"},
    {"state": "done now", "now": True, "share": "35%", "first": "since 17 Nov", "second": "day 5"},
    {"share": "60%", "first": "23 Nov", "second": "then 3 days"},
    {"share": "100%", "first": "26 Nov"},
]
CIRCUIT = [
    {"when": "5 failures in 30 s open it", "title": "Closed", "words": "Every request may go"},
    {
        "state": "bad",
        "now": True,
        "when": "after 60 s, then up to 10 min",
        "title": "Open",
        "words": "Next try in 42 s",
    },
    {"when": "2 good answers close it", "title": "Trying", "words": "One test request"},
]
TABS = [
    {"word": "Overview", "href": "#tabs", "on": True, "count": None},
    {"word": "Models", "href": "#tabs", "count": 12},
    {"word": "Limits and circuit", "href": "#tabs", "count": None},
    {"word": "Activity", "href": "#tabs", "count": None},
]
PROVIDERS = (
    ("OpenAI", "OA", 165), ("Azure OpenAI", "Az", 240), ("AWS Bedrock", "Be", 62), ("Anthropic", "An", 38),
    ("Mistral AI", "Mi", 55), ("Google Gemini", "Ge", 255), ("Ollama", "Ol", 285), ("LM Studio", "LM", 305),
    ("vLLM", "vL", 85), ("OVHcloud AI Endpoints", "OV", 268), ("Scaleway Generative APIs", "Sc", 310),
    ("Alibaba Qwen", "Qw", 290), ("DeepSeek", "DS", 262), ("Moonshot Kimi", "Ki", 220), ("Zhipu GLM", "GL", 200),
    ("Groq", "Gq", 28), ("xAI Grok", "xA", 330), ("Perplexity", "Px", 195), ("OpenRouter", "OR", 275),
    ("Hugging Face", "HF", 95), ("GitHub Models", "GM", 300), ("GitHub Copilot", "GC", 225),
    ("Docker Model Runner", "DM", 235),
)  # fmt: skip
COLOURS = (
    ("canvas", "Behind everything"), ("surface", "Sheet, cards"), ("raised", "Menus, dialogs"),
    ("inset", "Table heads, wells"), ("hover", "Hover"), ("line", "Hairlines"), ("control", "Input edges"),
    ("text-3", "Hints"), ("text-2", "Secondary text"), ("text", "Text"), ("ink", "Primary action"),
    ("accent", "Selected, live, focus"), ("accent-soft", "Selected fill"), ("ok", "Healthy"), ("warn", "Degraded"),
    ("bad", "Failing"),
)  # fmt: skip
