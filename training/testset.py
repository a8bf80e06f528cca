"""The test: sentences from frames that training never saw, decided by words that never stood beside the word in training."""

import random

from grammar import Grammar

SEED = 99
# Texts for each sense.
NEAR, FAR = 20, 8
# Words between the deciding word and the ambiguous one, at least and at most.
BANDS = {"50 to 99 words away": (50, 90), "100 to 200 words away": (100, 190)}


def apart(text, sense):
    """How many words lie between the ambiguous word and the nearest that decides it. Marks are no words."""
    plural = {form for noun in sense.test for form in (noun, noun + "s")}
    count, places, deciding = 0, [], []
    for word, of in zip(text.words, text.senses):
        if not word.isalpha():
            continue
        if of is sense:
            places.append(count)
        elif word in plural:
            deciding.append(count)
        count += 1
    return min(abs(one - two) - 1 for one in places for two in deciding)


def near(grammar, sense):
    yield from (grammar.near(sense) for _ in range(NEAR))


def far(grammar, sense, least, most):
    for _ in range(FAR):
        while True:
            text = grammar.far(sense, grammar.rng.randint(least, most))
            if least <= apart(text, sense) <= most + 10:
                yield text
                break


def test_set(lexicon):
    """For each distance the texts with the sense to be found."""
    grammar = Grammar(lexicon, random.Random(SEED), "test")
    yield "in the same sentence", [(text, sense) for sense in lexicon.senses for text in near(grammar, sense)]
    for name, (least, most) in BANDS.items():
        yield name, [(text, sense) for sense in lexicon.senses for text in far(grammar, sense, least, most)]
