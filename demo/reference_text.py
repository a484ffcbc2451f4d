"""Text to calibrate with and to train on, which every Python brings along: sentences of its own reference."""

import random
import re
from pydoc_data import topics


def reference_sentences() -> list[str]:
    """Sentences of Python's reference, in an order that is random and always the same."""
    found = set()
    for text in topics.topics.values():
        for paragraph in text.split("\n\n"):
            for sentence in re.split(r"(?<=[.!?]) ", " ".join(paragraph.split())):
                if 40 <= len(sentence) <= 200 and sentence[0].isupper() and sentence[-1] in ".!?":
                    found.add(sentence)
    sentences = sorted(found)
    random.Random(0).shuffle(sentences)
    return sentences
