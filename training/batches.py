"""Batches of texts from the grammar, with what is to be predicted."""

from dataclasses import dataclass

import torch

from tokens import CLS, MASK, PAD, SEP, SPECIAL, UNK

IGNORE = -100
# Texts in a batch of each kind: about as many tokens in each.
NEAR, MIDDLE, LONG = 160, 28, 9
# Shares of a text's tokens. Masking is that of BERT: of the chosen, 80 % become [MASK], 10 % another word, 10 % stay.
MASKED = 0.15
# A word stands for its like: of the unmasked words of a field, this share is asked for another word of the field.
KIN = 0.25
KIN_ITSELF = 0.3
# Noise, so that texts of other people's making do not surprise: words unknown, dropped, put in.
NOISY_TEXTS = 0.4
UNKNOWN, DROPPED, INSERTED = 0.06, 0.06, 0.08


@dataclass
class Batch:
    ids: torch.Tensor
    mask: torch.Tensor  # what is added to the scores
    labels: torch.Tensor  # sense of each token
    words: torch.Tensor  # word to predict


def partners(lexicon, one, two):
    """Whether two words are of one field, and decide each other rather than mislead."""
    return one.fields & two.fields and lexicon.compatible(one, two)


class Batches:
    """Makes batches of a kind. `labels` gives the number of each sense; 0 is no sense."""

    def __init__(self, lexicon, tokens, grammar, labels, positions):
        self.lexicon, self.tokens, self.grammar, self.labels, self.positions = lexicon, tokens, grammar, labels, positions
        self.rng = grammar.rng
        self.function = [word for word in lexicon.filler["function"]]
        ids = tokens.ids
        self.field_kin = {name: [ids[noun] for noun in field.nouns] for name, field in lexicon.fields.items()}
        # Not the held-out words: nothing may tie them to the word.
        self.sense_kin = {sense: [ids[noun] for noun in sense.train] for sense in lexicon.senses}
        self.field_names = list(lexicon.fields)
        self.partners = {one: [two for two in lexicon.senses if partners(lexicon, one, two)] for one in lexicon.senses}

    # Texts

    def sense(self):
        return self.rng.choice(self.lexicon.senses)

    def near(self):
        kind, sense = self.rng.random(), self.sense()
        if kind < 0.14:
            return self.grammar.topic(self.rng.choice(self.field_names))
        if kind < 0.18:
            return self.grammar.undecided(sense)
        partners = self.partners[sense]
        if kind < 0.28 and partners and "verb" not in sense.flags:
            return self.grammar.together(sense, self.rng.choice(partners))
        return self.grammar.near(sense)

    def document(self, words):
        targets = [self.sense()]
        for _ in range(self.rng.choice((0, 1, 2, 3, 4))):
            other = self.sense()
            if all(self.lexicon.compatible(other, target) for target in targets):
                targets.append(other)
        return self.grammar.document(targets, words)

    def far(self):
        return self.grammar.far(self.sense(), self.rng.randint(40, 205))

    def texts(self, kind):
        rng = self.rng
        if kind == "near":
            return [self.near() for _ in range(NEAR)]
        if kind == "middle":
            return [self.document(rng.randint(20, 70)) for _ in range(MIDDLE)]
        return [self.far() if rng.random() < 0.5 else self.document(rng.randint(100, 200)) for _ in range(LONG)]

    # Tensors

    def batch(self, kind):
        return self.collate([self.encode(text) for text in self.texts(kind)])

    def noisy(self, text):
        rng = self.rng
        if rng.random() > NOISY_TEXTS or len(text.words) < 3:
            yield from zip(text.words, text.senses, text.fields)
            return
        for word, sense, of in zip(text.words, text.senses, text.fields):
            if rng.random() < INSERTED:
                yield rng.choice(self.function), None, None
            if sense or of or rng.random() > UNKNOWN + DROPPED:
                yield word, sense, of
            elif rng.random() < UNKNOWN / (UNKNOWN + DROPPED):
                yield None, None, None

    def encode(self, text):
        """Ids, labels and words to predict of one text."""
        rng = self.rng
        ids, labels, kins = [CLS], [IGNORE], [None]
        alone = not any(text.senses)
        for word, sense, of in self.noisy(text):
            pieces = self.tokens.word(word) if word else [UNK]
            ids += pieces
            labels += [self.labels[sense.label] if sense else 0] + [0] * (len(pieces) - 1)
            kin = self.sense_kin[sense] if sense else self.field_kin[of] if of and alone else None
            kins += [kin] + [None] * (len(pieces) - 1)
        most = self.positions - 1
        ids, labels, kins = ids[:most] + [SEP], labels[:most] + [IGNORE], kins[:most] + [None]
        words = [IGNORE] * len(ids)
        for at in range(1, len(ids) - 1):
            if rng.random() < MASKED and ids[at] != UNK and len(ids) > 4:
                words[at] = ids[at]
                how = rng.random()
                if how < 0.9:
                    ids[at] = MASK if how < 0.8 else rng.randrange(len(SPECIAL), len(self.tokens.vocabulary))
                    labels[at] = IGNORE
            elif kins[at] and rng.random() < KIN:
                words[at] = ids[at] if rng.random() < KIN_ITSELF else rng.choice(kins[at])
        return ids, labels, words

    def collate(self, rows):
        length = max(len(ids) for ids, _, _ in rows)
        ids, labels, words = (
            torch.tensor([row + [filler] * (length - len(row)) for row in part])
            for part, filler in zip(zip(*rows), (PAD, IGNORE, IGNORE))
        )
        hidden = torch.zeros(ids.shape).masked_fill(ids == PAD, float("-inf"))[:, None, None, :]
        return Batch(ids, hidden, labels, words)
