from django.db import migrations

# What it is for, the tier it usually has, who answers it, and who steps in. Targets name a kind of provider and a model
# of it: whoever connects that kind has the route, whatever they call the provider.
USE_CASES = (
    ("classification", "Classification", "ultra_economy", "qwen:qwen-flash", "zhipu:glm-5.3-flash"),
    ("code_generation", "Code generation", "economy", "deepseek:deepseek-flash", "anthropic:claude-sonnet-5-5"),
    ("conversation", "Conversation", "standard", "groq:openai/gpt-oss-120b", "openai:gpt-6-luna"),
    ("summarization", "Summarization", "standard", "gemini:gemini-3.8-flash", "mistral:mistral-small-latest"),
    ("analysis", "Analysis", "premium", "anthropic:claude-sonnet-5-5", "openai:gpt-6.1-sol"),
    ("long_context", "Long context", "premium", "moonshot:kimi-k3.1-pro", "anthropic:claude-sonnet-5-5"),
    ("web_research", "Web research", "premium", "perplexity:perplexity/sonar", "openrouter:openai/gpt-6-sol"),
    ("expert", "Expert", "enterprise", "anthropic:claude-opus-5-5", "openai:gpt-6-astra"),
)
# What one request may cost, in nano-dollars.
TIERS = (
    ("ultra_economy", "Ultra economy", 100_000),
    ("economy", "Economy", 1_000_000),
    ("standard", "Standard", 10_000_000),
    ("premium", "Premium", 50_000_000),
    ("enterprise", "Enterprise", 500_000_000),
)


def furnish(apps, schema_editor):
    UseCase, Tier, Route = (apps.get_model("routing", name) for name in ("UseCase", "Tier", "Route"))
    if UseCase.objects.exists() or Tier.objects.exists() or Route.objects.exists():
        return
    for position, (slug, name, most) in enumerate(TIERS):
        Tier.objects.create(slug=slug, name=name, most_nano=most, currency="USD", position=position)
    for position, (slug, name, tier, primary, fallback) in enumerate(USE_CASES):
        case = UseCase.objects.create(slug=slug, name=name, tier=tier, position=position)
        chain = {"first": {"target": primary}, "fallbacks": [{"target": fallback}]}
        Route.objects.create(name=slug, use_case=case, position=0, chain=chain)


def keep(apps, schema_editor):
    """They may be somebody's by now: nothing is taken away."""


class Migration(migrations.Migration):

    dependencies = [
        ('routing', '0004_routes'),
    ]

    operations = [migrations.RunPython(furnish, keep)]
