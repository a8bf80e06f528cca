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
        words = lexicon.vocabulary() | {token for kinds in FRAMES.values() for split in kinds.values() for frame in split for token in frame.split()}
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
        special = [{"id": at, "content": word, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True} for at, word in enumerate(SPECIAL)]
        ends = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}]
        return {
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
            "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {"type": "TemplateProcessing", "single": ends,
                               "pair": ends + [{"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
                               "special_tokens": {word: {"id": word, "ids": [SPECIAL.index(word)], "tokens": [word]} for word in ("[CLS]", "[SEP]")}},
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": self.ids},
        }


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
