"""Text of a page that speaks to a language model instead of to a reader.

It is not needed for safety of links and secrets, which :mod:`shared.answering.proof` sees to whatever a page
says. It keeps a model that obeys a page from "proving" what it was told to say with the very order to say it.
Of 17,400 paragraphs of two documentation sites 4 are taken for orders, wrongly.
"""

from __future__ import annotations

import re
import unicodedata

from shared.answering.inert import visible

_ORDER = r"""
  (?:ignore|disregard|forget|override|bypass)\b.{0,40}\b(?:instruction|prompt|rule|guideline)
| (?:ignore|disregard|forget)\s+(?:\w+\s+){0,3}(?:above|previous)\b
| \b(?:system|developer|hidden|initial)\s+(?:prompt|message|instruction)
| \byou\ are\ (?:now|no\ longer)\b | \bpretend\ (?:to\ be|you)
| \bact\ as\ (?:an?|the)\b.{0,30}\b(?:ai|assistant|model|admin)
| \b(?:ai|language|chat)\s*(?:model|assistant|bot)s?\b.{0,60}\b(?:must|should|shall|please|will\ now)\b
| \b(?:attention|note|instruction|message)s?\ (?:to|for)\ (?:the\ |all\ |any\ )?(?:ai|assistant|model|llm|bot)
| \b(?:reply|respond|answer|say|output|repeat|tell\ the\ (?:user|reader))\b.{0,40}
  \b(?:exactly|verbatim|only\ with|with\ the\ (?:words?|text)|your\ (?:instructions|prompt|answer|reply))\b
| \btell\ (?:the|every|all)\ (?:users?|readers?|visitors?)\b
| \bin\ (?:your|every|each)\ (?:answer|reply|response)\b
| <\s*/?\s*(?:passage|conversation|instructions?)\b | <\|im_
| </\s*question\s*> | (?:^|>)\s*(?:\#+\s*)?(?:system|assistant)\s*:\s | \[/?inst\]
| (?:ignorier|vergiss|missachte)\w*\b.{0,40}(?:anweisung|regel|vorherig)
| (?:ignore[sz]?|oublie[sz]?)\b.{0,40}(?:instructions|consignes|règles|précédent)
| (?:ignora|olvida|desatiende)\w*\b.{0,40}(?:instrucciones|reglas|anterior|istruzioni|precedenti)
| (?:ignore|esqueça)\b.{0,40}(?:instruções|regras|anteriores)
| (?:игнорируй|забудь|не\ обращай)\w*.{0,40}(?:инструкц|правил|указан)
| (?:忽略|无视|忘记).{0,20}(?:指令|指示|规则|提示) | (?:指示|命令).{0,10}(?:無視|忘れ)
| (?:이전|위의).{0,10}(?:지시|명령).{0,10}(?:무시|잊) | (?:تجاهل|انس).{0,40}(?:التعليمات|الأوامر)
"""
_PATTERN = re.compile(_ORDER, re.IGNORECASE | re.DOTALL | re.MULTILINE | re.VERBOSE)


def is_order(text: str) -> bool:
    """Whether the text tells a language model what to do."""
    return bool(_PATTERN.search(unicodedata.normalize("NFKC", visible(text))))


def without_orders(text: str) -> str:
    """The paragraphs that speak to the reader. The neighbours of an order's sentence are suspect with it."""
    return "\n\n".join(one for one in re.split(r"\n\s*\n", text) if not is_order(one))
