"""What the original's tokenisers make of texts, for tests/tokenizer.rs. Writes ../fixtures/tokenizer/.

Two environments, since the tokenisers in Python (the "slow" ones) are gone from later versions of transformers:

    pip install spacy==3.8.18 ftfy==6.3.1
    python tokenizer_fixtures.py openai DATA
    pip install transformers==4.57.6 tokenizers==0.22.2
    python tokenizer_fixtures.py hf DATA

DATA is a folder with gpt1/encoder_bpe_40000.json.gz, gpt1/vocab_40000.bpe.gz and books/novels.tar.xz.

- openai-novels.json: 3,000 lines of the novels; by book, line numbers with the sha256 (16 digits of it) of the
  line's token ids (in decimal, a blank between) as ftfy, the original's cleaning, spaCy and the merges give them.
- openai-lines.json: lines in full, with their words: from the novels (public domain), and made up here.
- hf-lines.json: lines in full with the words and ids of transformers' slow and fast tokeniser. Where the two differ (Greek
  final sigma, characters newer than one's tables) the fast one counts, which transformers uses by default.
"""

import gzip
import hashlib
import json
import random
import sys
import tarfile
import tempfile
from pathlib import Path

FIXTURES = Path(__file__).parent.parent / "fixtures" / "tokenizer"
N_NOVEL_LINES = 3000

# Made up: what books seldom have. In `openai` mode a line may hold line breaks.
MADE_UP = [
    "", " ", "\t x \t", "the president is", "12345", "zyzzyva",
    "Mr. and Mrs. O'Neill can't, won't and shouldn't've gone to St. Ives at 10 a.m. on Jan. 3rd.",
    "\u201cI\u2019m gonna,\u201d she\u2019d said\u2014\u2018twas 5\u00b0C. \u2019Cause it\u2019s cold\u2026",
    "He'll we're they've I'd y'all ma'am o'clock rock'n'roll 'em 'tis ain't cannot gimme dunno",
    "U.S.A. U.K. e.g. i.e. etc. vs. Ph.D. a.m. p.m. Inc. Co. Dr. Prof. No. 5 pp. 12-15",
    "http://example.com/a?b=c#d www.example.co.uk me@example.com ftp://x.y/z 192.168.0.1 8.8.8.8:80",
    ":) :-( ;D <3 \\o/ (^_^) xD :'( >:o 8-) =) \u00af\\(\u30c4)/\u00af (\u256f\u00b0\u25a1\u00b0\uff09\u256f\ufe35\u253b\u2501\u253b",
    "$5.00 \u00a33 10% 5km 10kg 3.14 1,000,000 +44 -5 1/2 3x4 2^10 4*5 a=b a<b>c x:y #tag @you",
    "well-known mother-in-law twenty-one re-enter 1990-95 A-B a--b a\u2013b a\u2014b ---",
    "end.Begin end..Begin end...Begin end. Begin a.b A.B. U.S.", "don't Don't DON'T don\u2019t Don\u2019T",
    "caf\u00e9 cafe\u0301 na\u00efve \u0152uvre \u00e6on \u00c5ngstr\u00f6m stra\u00dfe \u0130stanbul",
    "\ufb01nd the \ufb02ower, o\ufb03ce \ufb00 \ufb04 \ufb05 \ufb06 \u0149 \u01c4",
    "\uff28\uff45\uff4c\uff4c\uff4f\u3000\uff57\uff4f\uff52\uff4c\uff44\uff01 \uff76\uff9e",
    "Caf\u00c3\u00a9 and na\u00c3\u00afve, \u00e2\u20ac\u0153quoted\u00e2\u20ac\u009d \u00e2\u20ac\u201d it\u00e2\u20ac\u2122s",
    "\u00c3\u00a0 la carte, voil\u00c3\u00a0 le travail, \u00c3 la mode, fianc\u00c3\u00a9e",
    "This is how \u0091Microsoft\u0092 quotes \u0093it\u0094 \u0085", "\u00e2\u20ac\u0153 lost \u00e2\u20ac\ufffd here",
    "\u0440\u045f\u0420\u00b8 \u0420\u045f\u0421\u0402\u0420\u0451\u0420\u0406\u0420\u00b5\u0421\u201a", "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440!",
    "AT&amp;T &lt;b&gt; &eacute;t&eacute; &EACUTE; &#233; &#xe9; &#x3b; &#0; &#150; &#99999999; &nosuch; &amp;amp; &quot;",
    "1 < 2 &amp; 3", "<p>AT&amp;T</p>", "\x1b[31mred\x1b[0m bell\x07 nul\x00 del\x7f bs\x08 unit\x1fend",
    "zero\u200bwidth soft\u00adhyphen bom\ufeff lrm\u200e nb\u00a0sp em\u2003sp line\u2028sep para\u2029sep",
    "form\x0cfeed vertical\x0btab next\x85line", "\U0001f600 smile \U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f \U0001f1eb\U0001f1f7!",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002 \u65e5\u672c\u8a9e\u306e\u6587 \ud55c\uad6d\uc5b4 mixed\u4e2dtext",
    "\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2 \u039f\u0394\u039f\u03a3 \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u0939\u093f\u0928\u094d\u0926\u0940 \u0e44\u0e17\u0e22",
    "\u00ab Oui \u00bb, \u201edit-il\u201c \u2039x\u203a `tick` \u00b4acute\u00b4 \u2032prime\u2033 ''quoted'' ``tex''",
    "\u2153 \u00bd \u00b2 \u2162 \u2460 \u00a7 12 \u00b6 \u2020 \u2021 \u2022 \u00b7 \u00a9 \u00ae \u2122 \u00b0 \u2116 \u2190 \u2192 \u2203 \u221e \u2260",
    "a_b __init__ [x] {y} |z| \\ back\\slash ~ ~~ ^ ` * ** /path/to/file C:\\dir", "!!! ??? ?! ,, ;; :: ... .... . .. '' \"\" ((( )))",
    "<unk> a<unk>b <UNK> < unk > \n</w> </w>", "\u0378\U000e0001\ue000 private and unassigned",
    "''Tis 'S s' dogs' 's 'd 'll ' em 'bout \u2018em \u2019em \u2019\u2019 goin' doin\u2019 ol' lovin'",
]
MADE_UP_DOCUMENTS = [
    "one\n\n\n  two \n three", "\n\nfirst\r\nsecond\rthird\u2028fourth\n", "a &amp; b\n<i>c</i> &amp; d\ne &amp; f",
    "no break", "\n", "x\n \n\u00a0\ny", "\u201cA\u2014\n\u2014B\u201d\n",
]


def novel_lines(data, n, seed):
    """`n` different lines with text, drawn from all novels: (book, line number from 0, line)."""
    lines = []
    with tarfile.open(data / "books" / "novels.tar.xz") as archive:
        for member in sorted((m for m in archive if m.isfile()), key=lambda m: m.name):
            text = archive.extractfile(member).read().decode()
            lines += [(member.name, i, line) for i, line in enumerate(text.split("\n")) if line.strip()]
    return random.Random(seed).sample(lines, n)


def hard_short_lines(data, n, seed):
    """Short lines of the novels in which the tokenisers have something to do."""
    signs = set("\u2019'&.:[]<>$#%\u00e9\u00e8\u00e6\u0153\u00e0\u00f4\u00fc\u00a3\u00b0")
    drawn = novel_lines(data, 60_000, seed)
    lines = [line for _, _, line in drawn if len(line) < 110 and len(signs & set(line)) >= 3]
    return sorted(set(lines[:n]))


def unpacked(data, folder):
    for name, out in [("encoder_bpe_40000.json", "vocab.json"), ("vocab_40000.bpe", "merges.txt")]:
        (folder / out).write_bytes(gzip.decompress((data / "gpt1" / f"{name}.gz").read_bytes()))


def write(name, rows):
    FIXTURES.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(row, ensure_ascii=True, separators=(",", ":")) for row in rows)
    (FIXTURES / name).write_text(f"[\n{lines}\n]\n")


def openai(data):
    import re

    import ftfy
    import spacy

    nlp = spacy.blank("en")
    vocab = json.loads(gzip.decompress((data / "gpt1" / "encoder_bpe_40000.json.gz").read_bytes()))
    lines = gzip.decompress((data / "gpt1" / "vocab_40000.bpe.gz").read_bytes()).decode().split("\n")
    ranks = {tuple(line.split()): rank for rank, line in enumerate(lines[1:-1])}

    def words(text):
        """The words before byte-pair encoding, as the original's text_utils.py has them."""
        text = ftfy.fix_text(text)
        for sign, plain in [("\u2014", "-"), ("\u2013", "-"), ("\u2015", "-"), ("\u2026", "..."), ("\u00b4", "'")]:
            text = text.replace(sign, plain)
        # One run of one of these signs. The original's pattern names `+` twice, and never the backslash.
        text = re.sub(r"""([-~!";?+,)(/*[\]}{|_])\1*""", r" \g<0> ", text)
        text = re.sub(r"\s*\n\s*", " \n ", text)
        text = re.sub(r"[^\S\n]+", " ", text).strip()
        return [token.text.lower() for token in nlp(text)]

    def pieces(word):
        if word.startswith("\n"):
            return ["\n</w>"]
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            pair = min(zip(parts, parts[1:]), key=lambda pair: ranks.get(pair, len(ranks)))
            if pair not in ranks:
                break
            joined, i = [], 0
            while i < len(parts):
                both = tuple(parts[i : i + 2]) == pair
                joined.append("".join(pair) if both else parts[i])
                i += 2 if both else 1
            parts = joined
        return parts

    def ids(text):
        return [vocab.get(piece, 0) for word in words(text) for piece in pieces(word)]

    FIXTURES.mkdir(parents=True, exist_ok=True)
    books = {}
    for book, number, line in sorted(novel_lines(data, N_NOVEL_LINES, seed=1)):
        sum_of_ids = hashlib.sha256(" ".join(map(str, ids(line))).encode()).hexdigest()
        books.setdefault(book, []).append([number, sum_of_ids[:16]])
    write("openai-novels.json", [{"book": book, "lines": lines} for book, lines in books.items()])
    texts = MADE_UP + MADE_UP_DOCUMENTS + hard_short_lines(data, 400, seed=2)
    write("openai-lines.json", [{"text": t, "words": [w.strip(" ") for w in words(t)], "ids": ids(t)} for t in texts])


def hf(data):
    from transformers import OpenAIGPTTokenizer, OpenAIGPTTokenizerFast

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unpacked(data, folder)
        slow = OpenAIGPTTokenizer(folder / "vocab.json", folder / "merges.txt")
        fast = OpenAIGPTTokenizerFast.from_pretrained(folder)
        normal, split = fast.backend_tokenizer.normalizer, fast.backend_tokenizer.pre_tokenizer

        def words(text):
            """The words before byte-pair encoding; the unknown token's text is found before anything is done."""
            parts = [[word for word, _ in split.pre_tokenize_str(normal.normalize_str(p))] for p in text.split("<unk>")]
            return parts[0] + [word for part in parts[1:] for word in ["<unk>", *part]]

        assert slow.fix_text is None, "ftfy or spaCy is installed: this environment must not have them"
        texts = MADE_UP + MADE_UP_DOCUMENTS + hard_short_lines(data, 400, seed=3)
        rows = []
        for text in texts:
            row = {"text": text, "words": words(text), "fast": fast(text)["input_ids"]}
            row["decoded"] = fast.decode(row["fast"], clean_up_tokenization_spaces=False)
            of_slow = slow(text)["input_ids"]
            if of_slow != row["fast"]:
                row["slow"] = of_slow
            rows.append(row)
    write("hf-lines.json", rows)


if __name__ == "__main__":
    {"openai": openai, "hf": hf}[sys.argv[1]](Path(sys.argv[2]))
