"""The table of servers' own APIs: how each one's requests are read by `Native`.

Names are folded (`querybudget.adapters.members`), except in `Api.bound`, where a degraded request
gets a limit that the caller did not set. The sources are the servers' public documentation.
"""

from __future__ import annotations

from querybudget.adapters.base import Dialect
from querybudget.adapters.native import Api

_PROMPTS = (
    "conversations",
    "documents",
    "input",
    "inputids",
    "inputs",
    "inputtext",
    "instances",
    "prompt",
    "prompts",
    "queries",
    "requests",
    "text",
    "text2",
    "textinput",
)
_BOUNDS = (
    "maxcompletiontokens",
    "maxgenlen",
    "maxlength",
    "maxnewtokens",
    "maxoutputtokens",
    "maxtokencount",
    "maxtokens",
    "maxtokenstosample",
    "npredict",
    "numpredict",
)
_COUNTS = (
    "n",
    "bestof",
    "numreturnsequences",
    "candidatecount",
    "numgenerations",
    "samplecount",
    "numoutputs",
    "numcompletions",
)
_SETTINGS = (
    "",
    "additionalmodelrequestfields",
    "config",
    "extrabody",
    "generationconfig",
    "inferenceconfig",
    "options",
    "parameters",
    "samplingparams",
    "samplingparameters",
    "textgenerationconfig",
)

_PICTURES = (
    "n",
    "samplecount",
    "batchsize",
    "numimages",
    "numimagesperprompt",
    "numoutputs",
    "numoutputsperprompt",
)

ANY = Api("generate", _PROMPTS, _SETTINGS, _BOUNDS, _COUNTS, each=True)
"""A request of which only the path is known: it may use any of the names."""

TGI = Api(
    "completions",
    ("inputs",),
    ("parameters",),
    ("maxnewtokens",),
    ("bestof", "numreturnsequences"),
    bound="parameters.max_new_tokens",
    dialect=Dialect.OLLAMA,
)
SGLANG = Api(
    "completions",
    ("text", "inputids", "inputembeds"),
    ("samplingparams", ""),
    ("maxnewtokens",),
    ("n",),
    bound="sampling_params.max_new_tokens",
    dialect=Dialect.OPENAI,
)
LLAMA_CPP = Api(
    "completions",
    ("prompt",),
    ("",),
    ("npredict", "maxtokens"),
    ("n", "ncmpl"),
    bound="n_predict",
    dialect=Dialect.OPENAI,
)
VLLM_GENERATE = Api(
    "completions",
    ("prompt", "tokenids"),
    ("", "samplingparams"),
    ("maxtokens",),
    ("n", "bestof"),
)
OLLAMA_CHAT = Api(
    "chat",
    settings=("options",),
    bounds=("numpredict",),
    bound="options.num_predict",
    stream="unless",
    dialect=Dialect.OLLAMA,
    chooses=True,
)
OLLAMA_GENERATE = Api(
    "completions",
    ("prompt",),
    ("options",),
    ("numpredict",),
    bound="options.num_predict",
    stream="unless",
    dialect=Dialect.OLLAMA,
    chooses=True,
)
EMBED = Api(
    "embeddings",
    ("input", "inputs", "prompt", "text", "texts", "content", "requests", "instances", "images"),
    generates=False,
)
GEMINI = Api(
    "chat",
    settings=("generationconfig", "config"),
    bounds=("maxoutputtokens",),
    counts=("candidatecount",),
    bound="generationConfig.maxOutputTokens",
    dialect=Dialect.GEMINI,
)
INTERACTIONS = Api(
    "responses",
    settings=("generationconfig", ""),
    bounds=("maxoutputtokens",),
    bound="generation_config.max_output_tokens",
    background=True,
    dialect=Dialect.GEMINI,
    chooses=True,
)
COHERE_CHAT = Api(
    "chat", bounds=("maxtokens",), counts=("numgenerations",), bound="max_tokens", chooses=True
)
CONVERSE = Api(
    "chat",
    settings=("inferenceconfig", "additionalmodelrequestfields"),
    bounds=("maxtokens",),
    bound="inferenceConfig.maxTokens",
)
COMPLETE = Api(
    "completions",
    bounds=("maxtokenstosample",),
    bound="max_tokens_to_sample",
    dialect=Dialect.ANTHROPIC,
    chooses=True,
)
CHAT_BATCH = Api(
    "chat",
    ("messages",),
    bounds=("maxcompletiontokens", "maxtokens"),
    counts=("n",),
    bound="max_tokens",
    dialect=Dialect.OPENAI,
    chooses=True,
)
RUN = Api(
    "runs",
    bounds=("maxcompletiontokens",),
    bound="max_completion_tokens",
    background=True,
    dialect=Dialect.OPENAI,
    chooses=True,
    kept=True,
)
RANK = Api(
    "rerank",
    ("documents", "texts", "text2", "data2", "items"),
    generates=False,
    paired=("query", "queries", "text1", "data1"),
)
SCORE = Api(
    "score",
    ("documents", "texts", "text2", "data2", "items", "input", "inputs", "text", "prompt"),
    generates=False,
    paired=("query", "queries", "text1", "data1"),
)
MODERATION = Api("moderations", ("input",), generates=False, dialect=Dialect.OPENAI, chooses=True)
IMAGES = Api("images", counts=_PICTURES, generates=False, dialect=Dialect.OPENAI, chooses=True)
SPEECH = Api("audio", generates=False, dialect=Dialect.OPENAI, chooses=True)
VIDEO = Api(
    "videos",
    counts=_PICTURES,
    generates=False,
    dialect=Dialect.OPENAI,
    chooses=True,
    kept=True,
)
TRANSCRIPTION = Api("audio", dialect=Dialect.OPENAI, chooses=True)
