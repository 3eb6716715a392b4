"""What stands between an ask and a model, as far as the configuration tells: keys, teams, data policies, switches."""

from __future__ import annotations

from routing.asks import Ask
from routing.snapshot import ModelEntry, ProviderEntry

# What a provider does that a data policy does not allow.
POLICIES = {
    "local_only": "is not one of our own servers",
    "eu_only": "is not known to keep data within the EU",
    "no_training": "is not known to leave data out of its training",
}

USES = {"chat": "chat", "embedding": "embeddings"}


def may_use(model: ModelEntry, allowed: frozenset[str]) -> bool:
    """Whether a key with this list may use the model, by whichever of its names the list has it."""
    if not allowed:
        return True
    return model.string in allowed or model.model_id in allowed or not model.other_names.isdisjoint(allowed)


def answers(provider: ProviderEntry, team_id: int | None) -> bool:
    """A provider that is being tried answers its teams only."""
    return not provider.only_teams or team_id in provider.only_teams


def abides(provider: ProviderEntry, policy: str) -> bool:
    """Whether data under this policy may go there. What nobody declared counts against a provider."""
    if provider.is_local or not policy:
        return True
    if policy == "eu_only":
        return provider.in_eu
    return policy == "no_training" and provider.trains_on_data is False


def obstacle(model: ModelEntry, ask: Ask) -> str:
    provider = model.provider
    if not may_use(model, ask.allowed_models):
        return "this key may not use it"
    if ask.data_policy and not abides(provider, ask.data_policy):
        return f"{provider.name} {POLICIES[ask.data_policy]}, which the data policy of this team forbids"
    if not answers(provider, ask.team_id):
        return f"{provider.name} is being tried by another team"
    if model.use != ask.use:
        return f"{model.string} is for {USES.get(model.use, model.use)}, not for {USES.get(ask.use, ask.use)}"
    if model.gone:
        return f"{provider.name} does not list {model.model_id} any more"
    if not model.active:
        return f"{model.string} is switched off"
    if not provider.enabled:
        return f"{provider.name} is switched off"
    if provider.inactive_reason:
        return f"{provider.name} is inactive: {provider.inactive_reason.rstrip('.')}"
    return ""
