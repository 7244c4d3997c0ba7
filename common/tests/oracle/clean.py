"""Writes ../fixtures/clean.json: what Python makes of reviews, by the two calls of the released utils.py. Python 3.11.7, no packages."""

import html
import json
import pathlib
import random

words = (
    "Great &amp; cheap\n|&lt;b&gt; &quot;x&quot; &#39;y&#x27;|&ampoule &notit; &notin; &not|a&b;c &unknown; &&amp;&|&#0;&#13;|"
    "&#128;&#129;&#150;&#x9f;|&#1;&#11;&#127;&#xfdd0;&#xffff;&#x1ffff;|&#xd800;&#x110000;&#99999999999999;|&#x;&#;&#xg;&#|"
    "&#65 &#65x &#x41g;|&copy2024 &copy;2024|&nbsp;x&nbsp;|\x1cx\x1f|\u3000x\u2003|x\r\ny|x\ty|&CounterClockwiseContourIntegral;|"
    "&CounterClockwiseContourIntegralXXXXXXXX;|&eacute&eacute;|&amp;amp;|&lt;br /&gt;<br />|&hearts;&#9829;|&AMP;&Amp;|&gt&gt|&g|&|"
    "a &  b|&#00000000065;|&#x000000000000041;|&fjlig;&NotEqualTilde;|x&ltdot;|x&ltdo|\ufeffx|\x00x|caf\u00e9 &caf\u00e9;|&\u00e9;"
).split("|")
draw = random.Random(0)
names = ["amp", "lt", "not", "notin;", "copy", "#", "#x", "#6", ";", "&", "x", " ", "eacute", "7", "\n", "g", "&#", "&#x"]
words += ["".join(draw.choice(names + ["&"] * 6) for _ in range(12)) for _ in range(40)]
cases = [[word, html.unescape(word).replace("\n", " ").strip()] for word in words]
here = pathlib.Path(__file__).parent
(here.parent / "fixtures" / "clean.json").write_text(json.dumps(cases, indent=0) + "\n")
