"""Writes the tables that the `openai` mode of the tokeniser works by: spaCy's English tokeniser rules and
ftfy's patterns and tables, as plain data.

    pip install spacy==3.8.18 ftfy==6.3.1
    python tokenizer_rules.py ../../src/data/tokenizer/rules

spaCy is MIT-licensed, ftfy Apache-2.0; their notices lie beside the tables. Patterns are written again from
Python's parse of them, in the syntax that Rust's regex crates read, with Python's meaning of \\w, \\s, \\d and $.
"""

import html
import html.entities
import json
import re
import sys
from pathlib import Path
from re import _constants as sre
from re import _parser

import ftfy.badness
import ftfy.chardata
import spacy

SPACE = r"\t-\r\x{1c}-\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
CLASSES = {
    sre.CATEGORY_WORD: r"\p{L}\p{N}_",
    sre.CATEGORY_SPACE: SPACE,
    sre.CATEGORY_DIGIT: r"\p{Nd}",
    sre.CATEGORY_NOT_SPACE: f"[^{SPACE}]",
}


def character(code, is_bytes):
    if is_bytes:
        return rf"\x{code:02x}"
    text = chr(code)
    return text if text.isascii() and text.isalnum() else rf"\x{{{code:x}}}"


def class_of(items, is_bytes):
    if items == [(sre.CATEGORY, sre.CATEGORY_NOT_SPACE)]:
        return CLASSES[sre.CATEGORY_NOT_SPACE]
    out = ""
    for op, value in items:
        if op is sre.NEGATE:
            out += "^"
        elif op is sre.LITERAL:
            out += character(value, is_bytes)
        elif op is sre.RANGE:
            out += character(value[0], is_bytes) + "-" + character(value[1], is_bytes)
        elif op is sre.CATEGORY:
            out += CLASSES[value]
        else:
            raise ValueError(op)
    return f"[{out}]"


def rust(parsed, is_bytes):
    """The pattern in Rust's syntax; raises on anything that these patterns are not known to use."""
    out = ""
    for op, value in parsed:
        if op is sre.LITERAL:
            out += character(value, is_bytes)
        elif op is sre.NOT_LITERAL:
            out += f"[^{character(value, is_bytes)}]"
        elif op is sre.ANY:
            out += r"[^\n]"
        elif op is sre.IN:
            out += class_of(value, is_bytes)
        elif op is sre.BRANCH:
            out += "(?:" + "|".join(rust(branch, is_bytes) for branch in value[1]) + ")"
        elif op is sre.SUBPATTERN:
            out += "(?:" + rust(value[3], is_bytes) + ")"
        elif op is sre.MAX_REPEAT:
            low, high, inner = value
            high = "" if high is sre.MAXREPEAT else high
            out += f"(?:{rust(inner, is_bytes)}){{{low},{high}}}"
        elif op is sre.AT and value is sre.AT_BEGINNING:
            out += r"\A"
        elif op is sre.AT and value is sre.AT_END:
            # Python's `$` also matches before a last line break; the texts matched here contain none.
            out += r"\z"
        elif op in (sre.ASSERT, sre.ASSERT_NOT):
            direction, inner = value
            sign = ("<" if direction < 0 else "") + ("=" if op is sre.ASSERT else "!")
            out += f"(?{sign}{rust(inner, is_bytes)})"
        else:
            raise ValueError(f"unknown piece {op}")
    return out


def translate(pattern):
    compiled = pattern if isinstance(pattern, re.Pattern) else re.compile(pattern)
    is_bytes = isinstance(compiled.pattern, bytes)
    out = rust(_parser.parse(compiled.pattern, compiled.flags & ~re.UNICODE), is_bytes)
    return f"(?-u){out}" if is_bytes else out


def spacy_rules():
    tokenizer = spacy.blank("en").tokenizer
    assert tokenizer.token_match is None
    pattern = lambda search: translate(search.__self__)
    exceptions = {
        text: [token[spacy.symbols.ORTH] for token in tokens]
        for text, tokens in sorted(tokenizer.rules.items())
    }
    # Those that are also looked for among neighbouring tokens, with the tokens they make without being exceptions.
    plain = spacy.blank("en").tokenizer
    plain.rules = {}
    neighbours = {
        text: [token.text for token in plain(text)]
        for text in exceptions
        if " " in text or tokenizer.find_prefix(text) or tokenizer.find_suffix(text) or tokenizer.find_infix(text)
    }
    return {
        "source": f"spacy {spacy.__version__}, blank English tokeniser; MIT licence, see spacy-LICENSE.txt",
        "prefix": pattern(tokenizer.prefix_search),
        "suffix": pattern(tokenizer.suffix_search),
        "infix": pattern(tokenizer.infix_finditer),
        "url": pattern(tokenizer.url_match),
        "exceptions": {k: v for k, v in exceptions.items() if not k.isspace()},
        "neighbours": {k: v for k, v in neighbours.items() if not k.isspace()},
    }


def high_half(encoding):
    """What the bytes 0x80 to 0xff stand for."""
    return bytes(range(0x80, 0x100)).decode(encoding)


def ftfy_rules():
    chardata = ftfy.chardata
    return {
        "source": f"ftfy {ftfy.__version__}; Apache-2.0 licence, see ftfy-LICENSE.txt",
        "bad": translate(ftfy.badness.BADNESS_RE),
        "utf8_detector": translate(chardata.UTF8_DETECTOR_RE),
        "altered_utf8": translate(chardata.ALTERED_UTF8_RE),
        "lossy_utf8": translate(chardata.LOSSY_UTF8_RE),
        "encodings": [[name, high_half(name)] for name in chardata.CHARMAP_ENCODINGS],
        "windows_1252": bytes(range(0x80, 0x100)).decode("windows-1252", "replace"),
        "ligatures": {chr(code): letters for code, letters in chardata.LIGATURES.items()},
        "entities": dict(sorted(chardata.HTML_ENTITIES.items())),
        "no_characters": sorted(html._invalid_codepoints),
    }


def write(path, rules):
    text = json.dumps(rules, ensure_ascii=True, separators=(",", ":"))
    # A line for each key, so that a change can be seen in a comparison.
    text = re.sub(r'(?<=[\]}"]),(?="(?:%s)":)' % "|".join(rules), ",\n", text)
    assert json.loads(text) == rules
    path.write_text(text + "\n")


folder = Path(sys.argv[1])
write(folder / "spacy-en.json", spacy_rules())
write(folder / "ftfy.json", ftfy_rules())
