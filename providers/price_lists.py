"""Whose prices are whose? What published price lists call our kinds of provider."""

from __future__ import annotations

UPSTREAM = "{upstream}"  # who serves a model behind a router: what its id says after the last colon

# By slug of the kind, in the list of genai-prices. A kind that is missing here is not in it.
GENAI_PRICES = {
    "anthropic": "anthropic",
    "azure-openai": "azure",
    "bedrock": "aws",
    "deepseek": "deepseek",
    "gemini": "google",
    "groq": "groq",
    "huggingface": f"huggingface_{UPSTREAM}",
    "mistral": "mistral",
    "moonshot": "moonshotai",
    "openai": "openai",
    "openrouter": "openrouter",
    "ovh": "ovhcloud",
    "perplexity": "perplexity",
    "xai": "x-ai",
    "zhipu": "zai",
}


def listed_as(kind: str, model_id: str) -> tuple[str, str] | None:
    """The provider and the model as that list has them; None when the kind is not in it."""
    name = GENAI_PRICES.get(kind)
    if name is None or UPSTREAM not in name:
        return (name, model_id) if name else None
    model, colon, upstream = model_id.rpartition(":")
    return (name.replace(UPSTREAM, upstream), model) if colon else None
