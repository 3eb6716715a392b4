"""The table of vendors: one row a kind. A quirk is a field of the row before it is ever code.

Facts come from the vendors' documentation; defaults are the cautious ones and a row says only what differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
class Exchange:
    """How a secret of several parts is exchanged for a token that is sent in its place: see signin.py."""

    scope: str
    path: str = "/{tenant_id}/oauth2/v2.0/token"
    authority: str = "https://login.microsoftonline.com"  # a secret may name another
    for_a_person: bool = False  # only on behalf of somebody who signed in, never for a program itself


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
    auth: str = "bearer"  # one of auth.SIGNERS; a local kind's key is optional
    key_required: bool = True
    variable: str = ""  # the environment variable its users know the key by
    exchanges: Exchange | None = None  # what is done first with a secret of several parts
    parts: tuple[str, ...] = ()  # of such a secret, where one may stand in the key's place; `?` marks those not needed
    key_place: str = ""  # where its users find the key, in the vendor's own words
    # Paths and query may name `{model}` and the provider's options; `defaults` are the options left out.
    chat_path: str = "/chat/completions"
    responses_path: str = ""  # of a second door, where models may take tools that they refuse at the first
    models_path: str = "/models"  # empty: the vendor lists nothing
    embeddings_path: str = ""  # empty: the vendor has none
    embeddings_form: str = "openai"  # of the body: see adapters/vectors.py
    embedding_batch: int = 100  # texts a request
    embedding_batches: Mapping[str, int] = field(default_factory=dict)  # for models with this in their ids, instead
    embedding_tokens: int = 0  # of all texts of a request, as near as we count them; 0: no limit is known
    embedding_renames: Mapping[str, str] = field(default_factory=dict)
    embedding_drops: frozenset[str] = frozenset()  # of `dimensions` and `user`
    health_path: str = ""  # a free question that needs the key; empty: the list of models is one
    models: tuple[str, ...] = ()  # what one that lists nothing serves, unless its options name others
    # The same vendor at addresses of another style, which the option `style` names or the end of the address (`root`).
    styles: Mapping[str, Kind] = field(default_factory=dict)
    variants: Mapping[str, str] = field(default_factory=dict)  # the vendor's other addresses, by where or what they are
    cuts: str = ""  # a pattern for what people copy along with an address and is a path of ours
    query: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)  # sent where the option of that name is set
    needs: tuple[str, ...] = ()  # options a provider of this kind must have
    renames: Mapping[str, str] = field(default_factory=dict)
    drops: frozenset[str] = frozenset()
    takes: Mapping[str, frozenset[bytes]] = field(default_factory=dict)  # the only values (JSON) a field may have
    formats: frozenset[str] = frozenset()  # the types of `response_format` it takes; empty: all
    message_drops: frozenset[str] = frozenset()  # fields of a message
    message_keeps: frozenset[str] = frozenset()  # what it added to an assistant's message and takes back: asking.OPAQUE
    message_nulls: bool = True  # a field of a message may be null
    call_ids: str = ""  # a pattern that the ids of tool calls must have
    tool_drops: frozenset[str] = frozenset()  # fields of a function tool
    schema_drops: frozenset[str] = frozenset()  # keywords in the JSON schema of a tool
    developer_role: bool = False  # knows the role `developer`; else it is sent as `system`
    passes_extras: bool = False  # unknown top-level fields go through
    asks_usage: bool = True  # send stream_options.include_usage
    reasoning_in_output: bool = True  # completion_tokens includes reasoning_tokens
    sends_done: bool = True  # a stream always ends with [DONE]; without it, a finish reason is taken for the end
    codes: Mapping[str, Cause] = field(default_factory=dict)  # error codes only this vendor uses
    hides: str = ""  # a pattern for ids in the list that are neither chat nor embedding models
    agent: bool = False  # Responses as agents speak it; it searches the web unless the option `web_search` says no
    efforts: Mapping[str, str] = field(default_factory=dict)  # of `reasoning_effort`: others than ours, or none at all
    sees_cost: bool = False  # its answers say what they cost, and that is booked rather than the list price
    eu: bool = False
    gathers: bool = False  # resells the models of others
    retired: str = ""

    def texts_at_once(self, model: str) -> int:
        """How many texts one request for embeddings may have."""
        told = (most for words, most in self.embedding_batches.items() if words in model)
        return next(told, self.embedding_batch)


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
ANNOTATIONS = frozenset({"annotations"})
THOUGHTS = frozenset({"reasoning_content"})  # wanted back with the calls they led to
EMBEDDINGS = "/embeddings"


def _codes(cause: Cause, codes: str) -> dict[str, Cause]:
    return dict.fromkeys(codes.split(), cause)


# One address a deployment, named in the path or, in the newer style, in the body like a model.
_AZURE = Kind(
    "azure-openai", "Azure OpenAI", "Az", 240, auth="api-key-or-token", variable="AZURE_OPENAI_API_KEY",
    key_place="Azure portal, Keys and Endpoint", parts=("tenant_id", "client_id", "client_secret"),
    exchanges=Exchange(scope="https://cognitiveservices.azure.com/.default"),
    chat_path="/openai/deployments/{model}/chat/completions",
    embeddings_path="/openai/deployments/{model}/embeddings",
    # Its lists name what could be deployed, not what is. They tell whether the key is good.
    models_path="", health_path="/openai/models",
    query={"api-version": "{api_version}"}, defaults={"api_version": "2024-10-21"}, needs=("base_url",),
    embedding_tokens=250_000, message_keeps=ANNOTATIONS, developer_role=True,
    cuts=r"(?<!/)/openai(?:/v1|/deployments/[^/]+(?:/chat/completions)?)?$",
)  # fmt: skip
_AZURE_V1 = replace(
    _AZURE, root="/openai/v1", chat_path="/chat/completions", embeddings_path="/embeddings", health_path="/models",
    responses_path="/responses", query={}, defaults={}, renames={"max_tokens": "max_completion_tokens"},
)  # fmt: skip

KINDS: dict[str, Kind] = {
    kind.slug: kind
    for kind in (
        Kind("demo", "Demo", "DE", 264, place=Place.INSIDE, base_url="http://demo.invalid/v1", auth="none",
             key_required=False, embeddings_path=EMBEDDINGS, developer_role=True, passes_extras=True),

        # -- servers of our own ---------------------------------------------------------------------------------
        Kind("vllm", "vLLM", "vL", 85, place=Place.LOCAL, base_url="http://localhost:8000/v1", root="/v1",
             key_required=False, variable="VLLM_API_KEY", embeddings_path=EMBEDDINGS, drops=OPENAI_ONLY,
             passes_extras=True),
        Kind("ollama", "Ollama", "Ol", 285, wire=Wire.OLLAMA, place=Place.LOCAL, base_url="http://localhost:11434",
             # At its own door, whatever door was typed in.
             cuts=r"/(?:v1|api)$", key_required=False, variable="OLLAMA_API_KEY", chat_path="/api/chat",
             models_path="/api/tags", embeddings_path="/api/embed", health_path="/api/version",
             passes_extras=True),
        # A made-up key is refused there with 401: none is sent unless one was given.
        Kind("lmstudio", "LM Studio", "LM", 305, place=Place.LOCAL, base_url="http://localhost:1234/v1", root="/v1",
             key_required=False, variable="LM_API_TOKEN", embeddings_path=EMBEDDINGS, renames=OLD_LIMIT,
             drops=OPENAI_ONLY | LOGPROBS | {"n", "parallel_tool_calls"}, passes_extras=True),
        Kind("docker-model-runner", "Docker Model Runner", "DM", 235, place=Place.LOCAL, auth="none",
             base_url="http://localhost:12434/engines/v1", key_required=False, embeddings_path=EMBEDDINGS,
             variants={"from a container of Docker Desktop": "http://model-runner.docker.internal/engines/v1",
                       "from a container of Docker Engine": "http://172.17.0.1:12434/engines/v1"},
             renames=OLD_LIMIT, drops=OPENAI_ONLY, takes=ONE_CHOICE, passes_extras=True),
        # Any OpenAI-shaped server. What it costs is unknown, so the rules of the cloud hold: HTTPS and public
        # addresses, or networks the settings allow. A free server of our own is of kind vllm.
        Kind("custom", "OpenAI-compatible", "Cu", 180, key_required=False, embeddings_path=EMBEDDINGS,
             developer_role=True, passes_extras=True, sends_done=False, needs=("base_url",),
             message_keeps=ANNOTATIONS | THOUGHTS | {"reasoning", "reasoning_details"}),

        # -- the cloud ------------------------------------------------------------------------------------------
        Kind("openai", "OpenAI", "OA", 165, base_url="https://api.openai.com/v1", root="/v1",
             variable="OPENAI_API_KEY", key_place="platform.openai.com, API keys",
             variants={"United States": "https://us.api.openai.com/v1"},
             headers={"openai-organization": "organization", "openai-project": "project"},
             # It takes 2,048 texts and 300,000 tokens at once; a hundred keep our own loop free.
             embeddings_path=EMBEDDINGS, embedding_tokens=250_000, message_keeps=ANNOTATIONS,
             responses_path="/responses", renames={"max_tokens": "max_completion_tokens"}, developer_role=True,
             hides=r"whisper|tts|dall-e|image|moderation|transcribe|realtime|audio|babbage|davinci|sora|-instruct"),
        replace(_AZURE, styles={"v1": _AZURE_V1}),
        Kind("anthropic", "Anthropic", "An", 38, wire=Wire.ANTHROPIC, base_url="https://api.anthropic.com", root="/v1",
             auth="x-api-key", variable="ANTHROPIC_API_KEY", key_place="console.anthropic.com, API keys",
             chat_path="/messages", models_path="/models?limit=1000", health_path="/models?limit=1",
             headers={"anthropic-beta": "beta", "anthropic-workspace-id": "workspace_id"},
             codes=_codes(Cause.QUOTA, "enforced_spend_limit_reached contract_spend_limit_reached")
             | _codes(Cause.RATE, "ramp_limit_exceeded")),
        # A key of Bedrock's own, or an access key pair that signs. Models are listed at another host.
        Kind("bedrock", "Amazon Bedrock", "Be", 62, wire=Wire.BEDROCK, needs=("region",),
             base_url="https://bedrock-runtime.{region}.amazonaws.com", variable="AWS_BEARER_TOKEN_BEDROCK",
             key_place="AWS console, Amazon Bedrock, API keys",
             parts=("access_key_id", "secret_access_key", "session_token?"),
             chat_path="/model/{model}/converse", models_path="/foundation-models",
             embeddings_path="/model/{model}/invoke", embedding_batch=1, embedding_batches={"cohere.embed": 96},
             hides=r"stability\.|nova-(?:canvas|reel|sonic)|titan-image|rerank|twelvelabs\.|image-generator",
             # Without AccessDeniedException: that may be about one model, and its words tell.
             codes=_codes(Cause.KEY, "UnrecognizedClientException ExpiredTokenException InvalidSignatureException "
                                     "IncompleteSignatureException MissingAuthenticationTokenException")
             | _codes(Cause.QUOTA, "ServiceQuotaExceededException") | _codes(Cause.RATE, "ThrottlingException")
             | _codes(Cause.MODEL, "ResourceNotFoundException") | _codes(Cause.TIMEOUT, "ModelTimeoutException")
             | _codes(Cause.OVERLOAD, "ModelNotReadyException ServiceUnavailableException")
             | _codes(Cause.SERVER, "ModelErrorException ModelStreamErrorException InternalServerException")),
        Kind("gemini", "Google Gemini", "Ge", 255, wire=Wire.GEMINI, auth="x-goog-api-key", root="/v1beta",
             base_url="https://generativelanguage.googleapis.com/v1beta", variable="GEMINI_API_KEY",
             key_place="aistudio.google.com, API keys", cuts=r"/openai$",
             chat_path="/models/{model}:generateContent", embeddings_path="/models/{model}:batchEmbedContents",
             models_path="/models?pageSize=1000", health_path="/models?pageSize=1",
             schema_drops=frozenset({"$schema"}),
             hides=r"-tts|-image|imagen|veo|lyria|robotics|native-audio|computer-use|(?:^|-)live(?:-|$)",
             codes=_codes(Cause.KEY, "API_KEY_INVALID") | _codes(Cause.TIMEOUT, "CANCELLED DEADLINE_EXCEEDED")),
        # Unknown fields are 422 there. Usage always comes, and asking for it is refused.
        Kind("mistral", "Mistral AI", "Mi", 55, base_url="https://api.mistral.ai/v1", root="/v1",
             variable="MISTRAL_API_KEY",
             key_place="console.mistral.ai, API keys", renames=OLD_LIMIT | {"seed": "random_seed"},
             drops=(OPENAI_ONLY - {"service_tier", "prompt_cache_key", "prediction"}) | LOGPROBS | FUNCTIONS
             | {"logit_bias"},
             tool_drops=frozenset({"strict"}), schema_drops=frozenset({"$schema", "$id", "additionalProperties"}),
             call_ids=r"[a-zA-Z0-9]{9}", asks_usage=False, passes_extras=True, eu=True,
             # At most 512 texts, and 16,384 tokens in all.
             embeddings_path=EMBEDDINGS, embedding_tokens=13_000, embedding_renames={"dimensions": "output_dimension"},
             embedding_drops=frozenset({"user"}),
             codes=_codes(Cause.MODEL, "1500 invalid_model") | _codes(Cause.OVERLOAD, "3800 3810")
             | _codes(Cause.RATE, "3505")),
        Kind("ovh", "OVHcloud AI Endpoints", "OV", 268, base_url="https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
             root="/v1", variable="OVH_AI_ENDPOINTS_ACCESS_TOKEN",
             key_place="OVHcloud control panel, AI Endpoints", embeddings_path=EMBEDDINGS, renames=OLD_LIMIT,
             drops=OPENAI_ONLY, embedding_drops=frozenset({"user"}), eu=True),
        Kind("scaleway", "Scaleway Generative APIs", "Sc", 310, base_url="https://api.scaleway.ai/v1", root="/v1",
             variable="SCW_SECRET_KEY", key_place="console.scaleway.com, IAM, API keys", renames=OLD_LIMIT,
             # The first address is that of the key's own project: for another one it answers 403.
             variants={"a project": "https://api.scaleway.ai/{project_id}/v1",
                       "a deployment of your own": "https://{deployment_id}.ifr.fr-par.scaleway.com/v1"},
             embeddings_path=EMBEDDINGS, drops=OPENAI_ONLY | {"logit_bias"}, embedding_drops=frozenset({"user"}),
             eu=True, codes=_codes(Cause.MODEL, "422")),
        Kind("groq", "Groq", "Gq", 28, base_url="https://api.groq.com/openai/v1", variable="GROQ_API_KEY",
             key_place="console.groq.com, API Keys",
             drops=(OPENAI_ONLY - {"user", "service_tier"}) | LOGPROBS | {"logit_bias"}, takes=ONE_CHOICE,
             message_drops=frozenset({"name"}), message_nulls=False, passes_extras=True,
             hides=r"whisper|tts|guard|orpheus",
             codes=_codes(Cause.MODEL, "model_decommissioned") | _codes(Cause.OVERLOAD, "498")
             # A model that wrote a broken tool call or broken JSON: another try may fare better.
             | _codes(Cause.SERVER, "tool_use_failed json_validate_failed")),
        Kind("xai", "xAI", "xA", 330, base_url="https://api.x.ai/v1", root="/v1", variable="XAI_API_KEY",
             key_place="console.x.ai, API Keys", variants={"United States": "https://us.api.x.ai/v1"}, sees_cost=True,
             drops=OPENAI_ONLY | PENALTIES | {"stop"}, message_drops=frozenset({"name"}),
             tool_drops=frozenset({"strict"}), reasoning_in_output=False, hides=r"image|video"),
        Kind("deepseek", "DeepSeek", "DS", 262, base_url="https://api.deepseek.com", variable="DEEPSEEK_API_KEY",
             # The balance is free to ask for, and tells an empty purse.
             key_place="platform.deepseek.com, API keys", health_path="/user/balance",
             renames=OLD_LIMIT | {"user": "user_id"}, drops=OPENAI_ONLY - {"user"}, message_keeps=THOUGHTS,
             formats=frozenset({"text", "json_object"}), passes_extras=True),
        Kind("moonshot", "Moonshot AI (Kimi)", "Ki", 220, base_url="https://api.moonshot.ai/v1", root="/v1",
             variable="MOONSHOT_API_KEY", key_place="platform.moonshot.ai, API Keys", renames=OLD_LIMIT,
             variants={"China": "https://api.moonshot.cn/v1"}, message_keeps=THOUGHTS,
             drops=(OPENAI_ONLY - {"prompt_cache_key"}) | FUNCTIONS,
             takes={"tool_choice": frozenset({b'"none"', b'"auto"'})}, passes_extras=True,
             codes=_codes(Cause.OVERLOAD, "engine_overloaded_error")
             | _codes(Cause.RATE, "rate_limit_reached_error")),
        # Keys of its coding plan may not be used by servers, so that host is no choice here. No list of models.
        Kind("zhipu", "Zhipu (GLM)", "GL", 200, base_url="https://api.z.ai/api/paas/v4", models_path="",
             variable="ZAI_API_KEY", key_place="z.ai, API Keys", renames=OLD_LIMIT,
             variants={"China": "https://open.bigmodel.cn/api/paas/v4"},
             models=("glm-5.3", "glm-5.3-flash", "glm-5.3-flashx", "glm-5.2", "glm-4.7", "glm-4.7-flash", "glm-4.6v",
                     "embedding-3"),
             embeddings_path=EMBEDDINGS, embedding_batch=50, embedding_drops=frozenset({"user"}),
             formats=frozenset({"text", "json_object"}),
             drops=OPENAI_ONLY | LOGPROBS | PENALTIES | {"n", "logit_bias"},
             takes={"tool_choice": frozenset({b'"auto"'})}, passes_extras=True,
             codes=_codes(Cause.KEY, "1000 1001 1002 1003 1004 1005 1220 1313 1315")
             | _codes(Cause.QUOTA, "1113 1304 1308 1309 1310") | _codes(Cause.MODEL, "1211 1221 1222")
             | _codes(Cause.CONTEXT, "1261") | _codes(Cause.FILTER, "1301") | _codes(Cause.RATE, "1302 1303")
             | _codes(Cause.OVERLOAD, "1305 1312") | _codes(Cause.REQUEST, "1210 1213 1214")),
        Kind("qwen", "Alibaba Qwen", "Qw", 290, base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
             models_path="", variable="DASHSCOPE_API_KEY",
             # Keys are bound to a region. The first address gets nothing new any more, those of workspaces do.
             variants={"a workspace": "https://{workspace_id}.{region}.maas.aliyuncs.com/compatible-mode/v1",
                       "China": "https://dashscope.aliyuncs.com/compatible-mode/v1",
                       "United States": "https://dashscope-us.aliyuncs.com/compatible-mode/v1"},
             models=("qwen3.8-max", "qwen3.7-max", "qwen3.7-plus", "qwen3.5-plus", "qwen-plus-latest", "qwen-flash",
                     "qwen3-max", "qwen3-coder-plus", "qwen3-coder-flash", "qwen3-vl-plus", "text-embedding-v4"),
             embeddings_path=EMBEDDINGS, embedding_batch=10, embedding_drops=frozenset({"user"}),
             key_place="Alibaba Cloud Model Studio, API Key", renames=OLD_LIMIT,
             drops=OPENAI_ONLY | {"frequency_penalty", "logit_bias"}, passes_extras=True,
             codes=_codes(Cause.KEY, "InvalidApiKey AccessDenied Model.AccessDenied AccessDenied.Unpurchased")
             | _codes(Cause.QUOTA, "Arrearage AllocationQuota.FreeTierOnly PrepaidBillOverdue PostpaidBillOverdue "
                                   "CommodityNotPurchased BudgetLimitExceeded")
             | _codes(Cause.RATE, "Throttling Throttling.RateQuota Throttling.BurstRate Throttling.AllocationQuota "
                                  "limit_requests")
             | _codes(Cause.FILTER, "DataInspectionFailed data_inspection_failed")
             | _codes(Cause.MODEL, "ModelNotFound") | _codes(Cause.OVERLOAD, "ModelServingError ModelUnavailable")
             | _codes(Cause.TIMEOUT, "InternalError.Timeout")),
        Kind("openrouter", "OpenRouter", "OR", 275, gathers=True, base_url="https://openrouter.ai/api/v1",
             variable="OPENROUTER_API_KEY",
             # Its list is open to everybody: only the key's own page tells whether the key is good.
             key_place="openrouter.ai, Keys", health_path="/key", sees_cost=True,
             headers={"http-referer": "referer", "x-title": "title"}, embeddings_path=EMBEDDINGS,
             message_keeps=ANNOTATIONS | {"reasoning", "reasoning_details"},
             drops=OPENAI_ONLY - {"user", "service_tier"}, passes_extras=True),
        # Through the door for agents: it searches the web before it answers, and says what that cost.
        Kind("perplexity", "Perplexity", "Px", 190, wire=Wire.RESPONSES, base_url="https://api.perplexity.ai",
             root="/v1", variable="PERPLEXITY_API_KEY", key_place="perplexity.ai, Settings, API", chat_path="/agent",
             agent=True, sees_cost=True,
             drops=frozenset({"temperature", "top_p", "tool_choice", "parallel_tool_calls", "user"}),
             efforts={"none": "", "max": "xhigh"}, embeddings_path=EMBEDDINGS, embeddings_form="int8",
             embedding_drops=frozenset({"user"})),
        Kind("huggingface", "Hugging Face", "HF", 95, gathers=True,
             base_url="https://router.huggingface.co/v1", root="/v1", variable="HF_TOKEN",
             key_place="huggingface.co, Settings, Access Tokens", renames=OLD_LIMIT, drops=OPENAI_ONLY,
             headers={"x-hf-bill-to": "bill_to"}, embedding_batch=32, embeddings_form="features",
             embeddings_path="//hf-inference/models/{model_path}/pipeline/feature-extraction",
             embedding_drops=frozenset({"dimensions", "user"}),
             codes=_codes(Cause.MODEL, "model_not_supported")),
        # In the name of one person with a licence. It counts no tokens and is paid by the month.
        Kind("copilot", "Microsoft 365 Copilot", "Co", 210, wire=Wire.COPILOT,
             base_url="https://graph.microsoft.com/beta/copilot", variable="COPILOT_TOKEN",
             key_place="Microsoft Entra, App registrations",
             parts=("tenant_id", "client_id", "refresh_token", "client_secret?"),
             exchanges=Exchange(scope="https://graph.microsoft.com/.default", for_a_person=True),
             chat_path="/conversations/{conversation}/chat", models_path="", models=("microsoft-365-copilot",),
             defaults={"time_zone": "UTC"}),
        # Kept so that old logs and reports can be read.
        Kind("github-models", "GitHub Models", "GH", 0, base_url="https://models.github.ai/inference", models_path="",
             variable="GITHUB_TOKEN", renames=OLD_LIMIT, drops=OPENAI_ONLY,
             retired="GitHub Models ended on 2026-07-30. The same models are at openai, azure-openai and openrouter."),
    )
}  # fmt: skip
