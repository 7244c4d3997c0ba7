"""The work of benches/tokenizer.rs by the crate `tokenizers`, as transformers uses it for openai-gpt. Prints one JSON object.

    python tokenizer.py VOCAB TEXTS"""

import json
import sys
import time
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

vocab, texts = map(Path, sys.argv[1:])
model = models.BPE.from_file(
    str(vocab / "vocab.json"), str(vocab / "merges.txt"), unk_token="<unk>", end_of_word_suffix="</w>"
)
tokenizer = Tokenizer(model)
tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
documents = [path.read_text() for path in sorted(texts.iterdir())]
paragraphs = [line for text in documents for line in text.split("\n") if line]
start = time.perf_counter()
n_tokens = sum(len(encoding.ids) for encoding in tokenizer.encode_batch_fast(paragraphs))
size_bytes = sum(len(text.encode()) for text in documents)
print(json.dumps({"mb_per_s": size_bytes / 1e6 / (time.perf_counter() - start), "n_tokens": n_tokens}))
