"""The table of vendors: one row a kind. A quirk is a field of the row before it is ever code.

Facts come from the vendors' documentation; defaults are the cautious ones and a row says only what differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from providers.chat import Wire


class Place(StrEnum):
    """Where the model runs, which decides what addresses may be dialled."""

    CLOUD = "cloud"  # public addresses over HTTPS only
    LOCAL = "local"  # loopback and private addresses too, plain HTTP allowed, price zero by declaration
    INSIDE = "inside"  # in this process: the pretend vendor


class Cause(StrEnum):
    """What a refusal is about, whatever a vendor calls it."""

    KEY = "key"
    QUOTA = "quota"
    RATE = "rate"
    OVERLOAD = "overload"
    SERVER = "server"
    TIMEOUT = "timeout"
    MODEL = "model"
    CONTEXT = "context"
    FILTER = "filter"
    REQUEST = "request"


@dataclass(frozen=True, slots=True)
class Kind:
    slug: str
    name: str
    initials: str  # two letters on a tile
    hue: int  # of the tile
    wire: Wire = Wire.OPENAI
    base_url: str = ""
    root: str = ""  # the path every address ends with: added where somebody typed only the host
    place: Place = Place.CLOUD
    auth: str = "bearer"  # bearer, api-key, x-api-key, none; a local kind's key is optional
    key_required: bool = True
    variable: str = ""  # the environment variable its users know the key by
    # Paths and query may name `{model}` and the provider's options; `defaults` are the options left out.
    chat_path: str = "/chat/completions"
    models_path: str = "/models"  # empty: the vendor lists nothing
    embeddings_path: str = ""  # empty: the vendor has none
    embedding_batch: int = 100  # texts a request
    health_path: str = ""  # a free question that needs the key; empty: the list of models is one
    query: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()  # options a provider of this kind must have
    renames: Mapping[str, str] = field(default_factory=dict)
    drops: frozenset[str] = frozenset()
    takes: Mapping[str, frozenset[bytes]] = field(default_factory=dict)  # the only values (JSON) a field may have
    message_drops: frozenset[str] = frozenset()  # fields of a message
    tool_drops: frozenset[str] = frozenset()  # fields of a function tool
    developer_role: bool = False  # knows the role `developer`; else it is sent as `system`
    passes_extras: bool = False  # unknown top-level fields go through
    asks_usage: bool = True  # send stream_options.include_usage
    reasoning_in_output: bool = True  # completion_tokens includes reasoning_tokens
    sends_done: bool = True  # a stream always ends with [DONE]; without it, a finish reason is taken for the end
    codes: Mapping[str, Cause] = field(default_factory=dict)  # error codes only this vendor uses
    hides: str = ""  # a pattern for ids in the list that are neither chat nor embedding models
    eu: bool = False
    retired: str = ""


# What OpenAI's own servers take and others refuse or ignore.
OPENAI_ONLY = frozenset(
    """
    store metadata verbosity user safety_identifier service_tier prompt_cache_key prompt_cache_options
    prompt_cache_retention modalities audio prediction web_search_options moderation
    """.split()
)
OLD_LIMIT = {"max_completion_tokens": "max_tokens"}  # for servers that know only the older name
LOGPROBS = frozenset({"logprobs", "top_logprobs"})
PENALTIES = frozenset({"frequency_penalty", "presence_penalty"})
FUNCTIONS = frozenset({"functions", "function_call"})
ONE_CHOICE = {"n": frozenset({b"1"})}


def _codes(cause: Cause, codes: str) -> dict[str, Cause]:
    return dict.fromkeys(codes.split(), cause)


KINDS: dict[str, Kind] = {
    kind.slug: kind
    for kind in (
        Kind("demo", "Demo", "DE", 264, place=Place.INSIDE, base_url="http://demo.invalid/v1", auth="none",
             key_required=False, developer_role=True, passes_extras=True),

        # -- servers of our own ---------------------------------------------------------------------------------
        Kind("vllm", "vLLM", "vL", 85, place=Place.LOCAL, base_url="http://localhost:8000/v1", root="/v1",
             key_required=False, variable="VLLM_API_KEY", drops=OPENAI_ONLY, passes_extras=True),
        # Through its OpenAI-compatible door.
        Kind("ollama", "Ollama", "Ol", 285, place=Place.LOCAL, base_url="http://localhost:11434", root="/v1",
             key_required=False, variable="OLLAMA_API_KEY", renames=OLD_LIMIT,
             drops=OPENAI_ONLY | {"tool_choice", "n", "logit_bias"}),
        # A made-up key is refused there with 401: none is sent unless one was given.
        Kind("lmstudio", "LM Studio", "LM", 305, place=Place.LOCAL, base_url="http://localhost:1234/v1", root="/v1",
             key_required=False, variable="LM_API_TOKEN", renames=OLD_LIMIT,
             drops=OPENAI_ONLY | LOGPROBS | {"n", "parallel_tool_calls"}, passes_extras=True),
        Kind("docker-model-runner", "Docker Model Runner", "DM", 235, place=Place.LOCAL, auth="none",
             base_url="http://localhost:12434/engines/v1", key_required=False, renames=OLD_LIMIT, drops=OPENAI_ONLY,
             takes=ONE_CHOICE, passes_extras=True),
        # Any OpenAI-shaped server. What it costs is unknown, so the rules of the cloud hold: HTTPS and public
        # addresses, or networks the settings allow. A free server of our own is of kind vllm.
        Kind("custom", "OpenAI-compatible", "Cu", 180, key_required=False, developer_role=True, passes_extras=True,
             sends_done=False, needs=("base_url",)),

        # -- the cloud ------------------------------------------------------------------------------------------
        Kind("openai", "OpenAI", "OA", 165, base_url="https://api.openai.com/v1", root="/v1",
             variable="OPENAI_API_KEY", renames={"max_tokens": "max_completion_tokens"}, developer_role=True,
             hides=r"whisper|tts|dall-e|image|moderation|transcribe|realtime|audio|babbage|davinci|sora|-instruct"),
        # One address a deployment; its list names what could be deployed, not what is.
        Kind("azure-openai", "Azure OpenAI", "Az", 240, auth="api-key", variable="AZURE_OPENAI_API_KEY",
             chat_path="/openai/deployments/{model}/chat/completions", models_path="",
             query={"api-version": "{api_version}"}, defaults={"api_version": "2024-10-21"}, needs=("base_url",),
             developer_role=True),
        Kind("anthropic", "Anthropic", "An", 38, wire=Wire.ANTHROPIC, base_url="https://api.anthropic.com",
             auth="x-api-key", variable="ANTHROPIC_API_KEY", chat_path="/v1/messages", models_path="/v1/models"),
        Kind("bedrock", "Amazon Bedrock", "Be", 62, wire=Wire.BEDROCK, variable="AWS_BEARER_TOKEN_BEDROCK",
             needs=("region",), chat_path="/model/{model}/converse", models_path=""),
        # Unknown fields are 422 there. Usage always comes, and asking for it is refused.
        Kind("mistral", "Mistral AI", "Mi", 55, base_url="https://api.mistral.ai/v1", root="/v1",
             variable="MISTRAL_API_KEY", renames=OLD_LIMIT | {"seed": "random_seed"},
             drops=(OPENAI_ONLY - {"service_tier", "prompt_cache_key", "prediction"}) | LOGPROBS | FUNCTIONS
             | {"logit_bias"},
             tool_drops=frozenset({"strict"}), asks_usage=False, passes_extras=True, eu=True,
             codes=_codes(Cause.MODEL, "1500 invalid_model") | _codes(Cause.OVERLOAD, "3800 3810")
             | _codes(Cause.RATE, "3505")),
        Kind("ovh", "OVHcloud AI Endpoints", "OV", 268, base_url="https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
             root="/v1", variable="OVH_AI_ENDPOINTS_ACCESS_TOKEN", renames=OLD_LIMIT, drops=OPENAI_ONLY, eu=True),
        Kind("scaleway", "Scaleway Generative APIs", "Sc", 310, base_url="https://api.scaleway.ai/v1", root="/v1",
             variable="SCW_SECRET_KEY", renames=OLD_LIMIT, drops=OPENAI_ONLY | {"logit_bias"}, eu=True,
             codes=_codes(Cause.MODEL, "422")),
        Kind("groq", "Groq", "Gq", 28, base_url="https://api.groq.com/openai/v1", variable="GROQ_API_KEY",
             drops=(OPENAI_ONLY - {"user", "service_tier"}) | LOGPROBS | {"logit_bias"}, takes=ONE_CHOICE,
             message_drops=frozenset({"name"}), passes_extras=True, hides=r"whisper|tts|guard|orpheus",
             codes=_codes(Cause.MODEL, "model_decommissioned") | _codes(Cause.OVERLOAD, "498")
             # A model that wrote a broken tool call or broken JSON: another try may fare better.
             | _codes(Cause.SERVER, "tool_use_failed json_validate_failed")),
        Kind("xai", "xAI", "xA", 330, base_url="https://api.x.ai/v1", root="/v1", variable="XAI_API_KEY",
             drops=OPENAI_ONLY | PENALTIES | {"stop"}, message_drops=frozenset({"name"}),
             tool_drops=frozenset({"strict"}), reasoning_in_output=False, hides=r"image|video"),
        Kind("deepseek", "DeepSeek", "DS", 262, base_url="https://api.deepseek.com", variable="DEEPSEEK_API_KEY",
             renames=OLD_LIMIT, drops=OPENAI_ONLY, passes_extras=True),
        Kind("moonshot", "Moonshot AI (Kimi)", "Ki", 220, base_url="https://api.moonshot.ai/v1", root="/v1",
             variable="MOONSHOT_API_KEY", renames=OLD_LIMIT,
             drops=(OPENAI_ONLY - {"prompt_cache_key"}) | FUNCTIONS,
             takes={"tool_choice": frozenset({b'"none"', b'"auto"'})}, passes_extras=True,
             codes=_codes(Cause.OVERLOAD, "engine_overloaded_error")
             | _codes(Cause.RATE, "rate_limit_reached_error")),
        # Keys of its coding plan may not be used by servers, so that host is no choice here. No list of models.
        Kind("zhipu", "Zhipu (GLM)", "GL", 200, base_url="https://api.z.ai/api/paas/v4", models_path="",
             variable="ZAI_API_KEY", renames=OLD_LIMIT,
             drops=OPENAI_ONLY | LOGPROBS | PENALTIES | {"n", "logit_bias"},
             takes={"tool_choice": frozenset({b'"auto"'})}, passes_extras=True,
             codes=_codes(Cause.KEY, "1000 1001 1002 1003 1004 1005 1220 1313 1315")
             | _codes(Cause.QUOTA, "1113 1304 1308 1309 1310") | _codes(Cause.MODEL, "1211 1221 1222")
             | _codes(Cause.CONTEXT, "1261") | _codes(Cause.FILTER, "1301") | _codes(Cause.RATE, "1302 1303")
             | _codes(Cause.OVERLOAD, "1305 1312") | _codes(Cause.REQUEST, "1210 1213 1214")),
        Kind("qwen", "Alibaba Qwen", "Qw", 290, base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
             models_path="", variable="DASHSCOPE_API_KEY", renames=OLD_LIMIT,
             drops=OPENAI_ONLY | {"frequency_penalty", "logit_bias"}, passes_extras=True,
             codes=_codes(Cause.KEY, "InvalidApiKey AccessDenied Model.AccessDenied AccessDenied.Unpurchased")
             | _codes(Cause.QUOTA, "Arrearage AllocationQuota.FreeTierOnly PrepaidBillOverdue PostpaidBillOverdue "
                                   "CommodityNotPurchased BudgetLimitExceeded")
             | _codes(Cause.RATE, "Throttling Throttling.RateQuota Throttling.BurstRate Throttling.AllocationQuota "
                                  "limit_requests")
             | _codes(Cause.FILTER, "DataInspectionFailed data_inspection_failed")
             | _codes(Cause.MODEL, "ModelNotFound") | _codes(Cause.OVERLOAD, "ModelServingError ModelUnavailable")
             | _codes(Cause.TIMEOUT, "InternalError.Timeout")),
        Kind("openrouter", "OpenRouter", "OR", 275, base_url="https://openrouter.ai/api/v1",
             variable="OPENROUTER_API_KEY", drops=OPENAI_ONLY - {"user", "service_tier"}, passes_extras=True),
        Kind("huggingface", "Hugging Face", "HF", 95, base_url="https://router.huggingface.co/v1", root="/v1",
             variable="HF_TOKEN", renames=OLD_LIMIT, drops=OPENAI_ONLY,
             codes=_codes(Cause.MODEL, "model_not_supported")),
    )
}  # fmt: skip
