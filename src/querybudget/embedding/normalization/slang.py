"""Short forms of words as people type them on phones, and what they are short for."""

from __future__ import annotations

import re
from collections.abc import Collection

_LEAST = 2  # different short forms of a text that is typed so
_TOKENS = re.compile(r"(?<![\w'/.-])[\w/]+(?![\w'/-]|\.\w)")

_SURE = """
    2day:today 2nite:tonight 2moro:tomorrow 2morrow:tomorrow tmrw:tomorrow 4u:for_you b4:before
    gr8:great l8r:later m8:mate w8:wait h8:hate sm1:someone some1:someone any1:anyone
    every1:everyone u:you ur:your urs:yours plz:please pls:please plss:please thx:thanks
    thnx:thanks thanx:thanks tysm:thanks tht:that ths:this kno:know abt:about rly:really
    srsly:seriously smth:something sumthin:something nethin:anything anythin:anything
    nuthin:nothing nothin:nothing doin:doing goin:going sayin:saying followin:following
    usin:using givin:giving bcuz:because bcz:because ppl:people wut:what wot:what thru:through
    gimme:give_me lemme:let_me dunno:dont_know rite:write wrt:write xplain:explain btwn:between
    wud:would cud:could shud:should wld:would cld:could shld:should hav:have hv:have wen:when
    wher:where hw:how luv:love frm:from iz:is wiv:with wid:with hlp:help giv:give evry:every
    evrything:everything ques:question jst:just sentnce:sentence desc:describe
"""
"""Those that hardly anything else is spelt like."""

_LIKELY = """
    r:are y:why n:and nd:and b:be c:see k:okay 2:to 4:for 1:one w/o:without bc:because cuz:because
    coz:because wat:what da:the dat:that dis:this dem:them gonna:going_to wanna:want_to
    gotta:got_to tho:though msg:message pic:picture pics:pictures txt:text eg:example sum:some
    gd:good fr:for wif:with whn:when mk:make tel:tell fav:favourite probs:problems ans:answer
    qs:questions q:question diff:different prob:problem bt:but jus:just w:with hr:here
"""
"""Those that are words, letters or numbers as well."""


def _table(pairs: str) -> dict[str, str]:
    return dict(pair.replace("_", " ").split(":") for pair in pairs.split())


_MEANINGS = _table(_SURE)
_EVERY = {**_MEANINGS, **_table(_LIKELY)}


def spelt_out(text: str, unknown: Collection[str]) -> str:
    """Return a text typed in short forms with the words that they are short for.

    Args:
        text: The text.
        unknown: Its words that are not known, in lower case: without a short form among them,
            nothing else is looked at.
    """
    if _MEANINGS.keys().isdisjoint(unknown):
        return text
    tokens = {token.lower() for token in _TOKENS.findall(text)}
    if len(tokens & _MEANINGS.keys()) < _LEAST:
        return text
    return _TOKENS.sub(lambda token: _EVERY.get(token[0].lower(), token[0]), text)
