"""What the members of a request hold, by their folded names, for `querybudget.adapters.segments`.

The sources are the servers' public documentation. A member that stands nowhere here may be read by
a server all the same, so it counts as said.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from querybudget.adapters.base import Channel
from querybudget.adapters.lax import Json
from querybudget.adapters.members import fold
from querybudget.adapters.readings import LONGEST_NAME


class Kind(enum.Enum):
    """What a member holds."""

    __hash__ = object.__hash__  # an enumeration's own is a function of Python, and takes as long

    LABEL = "label"
    """An id, a type or the like, as long as it is written like one."""
    SEALED = "sealed"
    """What a server signed or encrypted, of any length, or what it counted."""
    SAID = "said"
    """Texts and parts, in the channel of what they stand in."""
    FED = "fed"
    """Texts and parts that are fed."""
    WORDS = "words"
    """JSON of any form that servers write into the prompt as it is. It is fed."""
    IMAGE = "image"
    AUDIO = "audio"
    FILE = "file"
    TOKENS = "tokens"
    EMBEDDINGS = "embeddings"
    REFERENCE = "reference"


SETTINGS: Final = frozenset(
    {
        # Which model, and how the answer comes.
        *("model", "models", "engine", "deploymentid", "modelid", "modelname", "lorapath"),
        *("adapterid", "adapter", "stream", "streamoptions", "background", "store", "include"),
        *("fallbacks", "defaultfallbacks", "contextwindowfallbacks", "contentpolicyfallbacks"),
        *("routersettingsoverride", "servicetier", "modalities", "responsemodalities", "verbosity"),
        *("encodingformat", "outputformat", "quality", "size", "style", "background"),
        *("aspectratio", "seconds", "speed", "voice", "voicesettings", "language", "timestamps"),
        *("timestampgranularities", "chunkingstrategy", "inputfidelity", "outputcompression"),
        *("partialimages", "moderation", "keepalive", "apiversion", "anthropicversion"),
        *("anthropicbeta", "raw", "returntext", "returnfulltext", "returnstream", "rid"),
        # How many answers, how long, how they are sampled.
        *("n", "bestof", "ncmpl", "numreturnsequences", "numgenerations", "numcompletions"),
        *("numoutputs", "candidatecount", "samplecount", "batchsize", "maxtokens", "maxlength"),
        *("maxcompletiontokens", "maxoutputtokens", "maxnewtokens", "maxgenlen", "maxtokencount"),
        *("maxtokenstosample", "npredict", "numpredict", "mintokens", "minnewtokens"),
        *("temperature", "topp", "topk", "minp", "typicalp", "seed", "presencepenalty"),
        *("frequencypenalty", "repetitionpenalty", "repeatpenalty", "lengthpenalty", "samplers"),
        *("stop", "stopsequences", "stoptokenids", "stopregex", "badwords", "nostoptrim", "echo"),
        *("logprobs", "toplogprobs", "promptlogprobs", "nprobs", "topntokens", "earlystopping"),
        *("returnlogprob", "toplogprobsnum", "returnhiddenstates", "decoderinputdetails"),
        *("responselogprobs", "usebeamsearch", "truncation", "truncate", "truncateprompttokens"),
        *("dimensions", "dosample", "watermark", "details", "cacheprompt", "idslot", "slotid"),
        *("continuefinalmessage", "addgenerationprompt", "addspecialtokens", "priority"),
        *("skipspecialtokens", "spacesbetweenspecialtokens", "ignoreeos", "cachesalt"),
        *("returntokenids", "returntokensastokenids", "includestopstrinoutput", "numctx"),
        *("numkeep", "numgpu", "numthread", "topn", "returndocuments", "rankfields"),
        *("maxchunksperdoc", "maxtokensperdoc", "inputtype", "embeddingtypes", "tasktype"),
        *("outputdimensionality", "normalize", "autotruncate", "dimension"),
        # Tools, thinking, safety: which of them apply.
        *("toolchoice", "paralleltoolcalls", "maxtoolcalls", "reasoningeffort", "reasoning"),
        *("think", "thinking", "thinkingconfig", "safetysettings", "safetymode", "guardrails"),
        *("guardrailconfig", "performanceconfig", "citationoptions", "citationquality"),
        *("contextmanagement", "speechconfig", "responselogprobs", "mediaresolution"),
        # Who asks, and what is kept of it.
        *("user", "metadata", "requestmetadata", "labels", "safetyidentifier", "requestid"),
        *("promptcachekey", "promptcacheretention", "traceid", "sessionid", "timestamp", "purpose"),
        *("litellmmetadata", "tags", "cache", "cachecontrol", "clientid", "correlationid"),
        *("headers", "extraheaders", "apikey", "timeout", "requesttimeout", "expiresafter"),
    }
)
"""Members of a request that no model reads."""

HOLDERS: Final = frozenset(
    {
        *("additionalmodelrequestfields", "config", "extrabody", "generationconfig", "options"),
        *("inferenceconfig", "parameters", "samplingparams", "samplingparameters"),
        *("textgenerationconfig", "outputconfig", "requests", "instances", "imagegenerationconfig"),
        *("texttoimageparams", "batch", "inputconfig", "params", "request", "body"),
    }
)
"""Members that are requests, or the settings of one: what they hold is read like a request."""

ORDER: Final[Mapping[str, int]] = {
    name: place
    for place, names in enumerate(
        (
            ("chattemplate", "template"),
            ("tools", "functions", "toolconfig", "functiondeclarations", "mcpservers"),
            (
                *("system", "systeminstruction", "systemprompt", "preamble", "instructions"),
                *("additionalinstructions", "systemmessage"),
            ),
            ("documents", "connectors", "context", "inputextra"),
            ("chathistory", "history"),
            (),  # everything else, as the request has it
            ("suffix", "inputsuffix"),
            (
                *("responseformat", "responseschema", "responsejsonschema", "text", "format"),
                *("grammar", "regex", "jsonschema", "ebnf", "structuraltag", "structuredoutputs"),
                *("guidedjson", "guidedregex", "guidedgrammar", "guidedchoice", "prediction"),
                "outputschema",
            ),
        )
    )
    for name in names
}
"""Where servers write the members of a request into its prompt, if it is not where they stand."""

OTHERS: Final = 5
"""The place of every other member."""

FED: Final = frozenset(
    {name for name, place in ORDER.items() if place in {1, 2, 3, 7}} - {"text", "context"}
    | {"additionalcontext"}
)
"""Members of a request that are fed."""

_LABELS = (
    *("id", "type", "role", "toolcallid", "tooluseid", "callid", "status", "index", "object"),
    *("mimetype", "mediatype", "language", "format", "detail", "phase", "createdat", "model"),
    *("finishreason", "stopreason", "outputindex", "responseid", "cachecontrol", "ttl", "itemid"),
)
_SEALED = ("signature", "thoughtsignature", "encryptedcontent", "annotations", "logprobs", "usage")
_SAID = (
    *("content", "contents", "text", "parts", "name", "messages", "message", "prompt", "input"),
    *("inputs", "source", "data", "query", "queries", "title", "titles", "url", "filename"),
    *("function", "description", "prompts", "texts", "conversations", "turns", "variables"),
    *("inputtext", "promptstring", "item", "items", "chunk", "chunks", "thought", "strict"),
    *("iserror", "prefix", "additionalproperties", "required", "enum", "anyof", "oneof", "allof"),
    *("context", "minimum", "maximum", "default", "examples", "const", "pattern", "value"),
)
_FED = (
    *("toolcalls", "functioncall", "functionresponse", "tooluse", "toolresult", "toolresults"),
    *("output", "outputs", "summary", "refusal", "reasoning", "reasoningcontent"),
    *("reasoningdetails", "thinking", "thoughts", "toolplan", "toolname", "toolcall"),
    *("executablecode", "code", "codeexecutionresult", "document", "documents", "citations"),
    *("searchresult", "system", "systeminstruction", "instructions", "toolspec"),
)
_WORDS = (
    *("arguments", "args", "response", "result", "results", "action", "operation", "tools"),
    *("functions", "functiondeclarations", "inputschema", "json", "parameters", "properties"),
    *("schema", "jsonschema", "parametersjsonschema", "responsejsonschema", "grammar"),
)
_BY_NAME: Final[Mapping[str, Kind]] = {
    **dict.fromkeys(_LABELS, Kind.LABEL),
    **dict.fromkeys(_SEALED, Kind.SEALED),
    **dict.fromkeys(_SAID, Kind.SAID),
    **dict.fromkeys(_FED, Kind.FED),
    **dict.fromkeys(_WORDS, Kind.WORDS),
    **dict.fromkeys(
        (
            *("image", "images", "imageurl", "imagedata", "imagebase64", "imageuri", "inputimage"),
            *(
                "imageprompt",
                "initimage",
                "maskimage",
                "mask",
                "multimodaldata",
                "imageurls",
                "imagefile",
            ),
        ),
        Kind.IMAGE,
    ),
    **dict.fromkeys(("audio", "audiodata", "audiourl", "inputaudio"), Kind.AUDIO),
    **dict.fromkeys(
        (
            *("file", "filedata", "fileurl", "inlinedata", "video", "videodata", "videourl"),
            *("bytes", "blob", "inputreference"),
        ),
        Kind.FILE,
    ),
    **dict.fromkeys(
        (
            *("inputids", "tokenids", "prompttokenids", "tokens", "logitbias", "allowedtokenids"),
            *("logitbiases", "forceddecoderids", "decoderinputids", "prompttokens"),
        ),
        Kind.TOKENS,
    ),
    **dict.fromkeys(("promptembeds", "inputembeds", "inputsembeds"), Kind.EMBEDDINGS),
    **dict.fromkeys(
        (
            *("previousresponseid", "conversation", "conversationid", "promptid", "fileid"),
            *("fileids", "vectorstoreids", "cachedcontent", "assistantid", "threadid"),
            *("previousinteractionid", "fileuri", "datasources", "promptarn", "s3location"),
            *("containerid", "container", "inputfileid", "ragresources", "knowledgebaseid"),
            *("remixvideoid", "itemreference", "filesearchstorenames"),
        ),
        Kind.REFERENCE,
    ),
}


LONGEST_LABEL = 64
"""Characters of an id, at most; what is longer is read as text."""

_ID = re.compile(r"(?=\D*\d)[\w.:+/=@-]{1,64}", re.ASCII)
_FED_ROLES = frozenset({"assistant", "chatbot", "developer", "function", "model", "system", "tool"})
_ROLES = _FED_ROLES | {"", "human", "user"}
_FED_TYPES = frozenset(
    {"document", "file", "input_file", "reasoning", "search_result", "thinking", "json_schema"}
)
_FED_ENDINGS = ("_call", "_output", "_result", "_use")


def channel_of(role: str) -> Channel:
    """Return the channel of a turn."""
    return Channel.FED if role in _FED_ROLES or role.lower() in _FED_ROLES else Channel.SAID


def is_role(role: str) -> bool:
    """Return True if servers know a role, so that it is no text of its own."""
    return role in _ROLES or role.lower() in _ROLES


def is_fed(kind: str) -> bool:
    """Return True for the type of a part or an item that no user says."""
    return kind in _FED_TYPES or kind.endswith(_FED_ENDINGS)


def is_text(text: str, kind: Kind) -> bool:
    """Return True unless a text is written like an id: one word in ASCII, and no long one."""
    if len(text) > LONGEST_LABEL and kind is not Kind.SEALED:
        return True
    return not text.isascii() or len(text.split(None, 1)) > 1


def is_id(value: Json) -> bool:
    """Return True for a number, or a text like an id, a hash or a time."""
    if isinstance(value, str):
        return _ID.fullmatch(value) is not None
    return isinstance(value, bool | int | float)


def kind_of(name: str) -> Kind | None:
    """Return what a member within a request's members holds; None if nobody documents it."""
    return _short(name) if len(name) <= LONGEST_NAME else None


@lru_cache(16_384)
def _short(name: str) -> Kind | None:
    return _BY_NAME.get(fold(name))
