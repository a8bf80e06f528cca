"""The vocabulary, and words to ids: WordPiece, as the tokenizer.json written here has it."""

import json

from grammar import FRAMES, SLOT
from lexicon import regular

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNK, CLS, SEP, MASK = range(len(SPECIAL))
PIECES = ["##s", "##es", "##d", "##ed", "##ing"]
MARKS = list(".,?!:;'\"()-")


class Tokens:
    """Ids of words, by longest match from the left."""

    def __init__(self, lexicon):
        frames = [frame for kinds in FRAMES.values() for frames in kinds.values() for frame in frames]
        words = lexicon.vocabulary() | {token for frame in frames for token in frame.split()}
        words = {word for word in words if word.isalpha() and not SLOT.fullmatch(word)}
        pairs = [pair for field in lexicon.fields.values() for pair in field.verbs] + list(lexicon.filler_verbs)
        forms = {past for base, past in pairs if past == regular(base)}
        self.vocabulary = SPECIAL + MARKS + PIECES
        self.ids = {}
        # Shorter first: a longer word that is known in pieces needs no entry of its own, if it is a form of the shorter.
        known = set(self.vocabulary)
        for word in sorted(words, key=lambda word: (len(word), word)):
            if word in forms and split(word, known):
                continue
            known.add(word)
            self.vocabulary.append(word)
        self.vocabulary[len(SPECIAL + MARKS + PIECES):] = sorted(self.vocabulary[len(SPECIAL + MARKS + PIECES):])
        self.ids = {word: at for at, word in enumerate(self.vocabulary)}
        self.cache = {}

    def word(self, word):
        """The ids of one word."""
        if word not in self.cache:
            pieces = split(word, self.ids)
            self.cache[word] = [self.ids[piece] for piece in pieces] if pieces else [UNK]
        return self.cache[word]

    def tokenizer_json(self):
        template = {"type": "TemplateProcessing", "single": [_special("[CLS]"), _sequence("A", 0), _special("[SEP]")]}
        template["pair"] = template["single"] + [_sequence("B", 1), _special("[SEP]", 1)]
        template["special_tokens"] = {
            word: {"id": word, "ids": [SPECIAL.index(word)], "tokens": [word]} for word in ("[CLS]", "[SEP]")
        }
        plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [{"id": at, "content": word, **plain} for at, word in enumerate(SPECIAL)],
            "normalizer": {
                "type": "BertNormalizer",
                "clean_text": True,
                "handle_chinese_chars": True,
                "strip_accents": None,
                "lowercase": True,
            },
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": template,
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
            "model": {
                "type": "WordPiece",
                "unk_token": "[UNK]",
                "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
                "vocab": self.ids,
            },
        }


def _special(word, of=0):
    return {"SpecialToken": {"id": word, "type_id": of}}


def _sequence(name, of):
    return {"Sequence": {"id": name, "type_id": of}}


def split(word, known):
    """The pieces of a word, the longest first from the left; None if there is a rest."""
    pieces, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in known:
                break
        else:
            return None
        pieces.append(piece)
        start = end
    return pieces
