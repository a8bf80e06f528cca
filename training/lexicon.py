"""The words of the grammar: fields, senses and what may stand together. Read from lexicon.toml."""

import random
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
# A share of each sense's nouns that never stand in one text with the word in training.
HELD_OUT = 0.25
FLAGS = {"name", "verb", "mass"}


@dataclass(frozen=True)
class Field:
    """A subject: what it is called and the words that belong to it."""

    name: str
    nouns: tuple
    verbs: tuple  # (base, past)
    adjectives: tuple

    def words(self):
        return {*self.nouns, *self.adjectives, *(form for verb in self.verbs for form in verb)}


@dataclass(frozen=True)
class Sense:
    """One meaning of an ambiguous word."""

    word: str
    name: str
    fields: frozenset
    flags: frozenset
    train: tuple  # nouns that decide it in training
    held_out: tuple  # nouns that never stand in one text with the word in training
    test: tuple  # those of them that decide it in the test: the ones that are no ordinary words as well
    wrong: frozenset  # words that speak for another sense
    rivals: frozenset  # fields of the other senses

    @property
    def label(self):
        return f"{self.word}:{self.name}"


def verbs(text):
    """`eat/ate peel` as pairs of base and past."""
    pairs = (verb.split("/") for verb in text.split())
    return tuple((pair[0], pair[1] if len(pair) == 2 else regular(pair[0])) for pair in pairs)


def regular(base):
    """The past of a regular verb."""
    if base.endswith("e"):
        return base + "d"
    if base.endswith("y") and base[-2] not in "aeo":
        return base[:-1] + "ied"
    return base + base[-1] * doubles(base) + "ed"


def doubles(base):
    """Whether the last letter comes twice before an ending: chop, chopped."""
    return re.fullmatch("[^aeiou]*[aeiou][^aeiouwxy]", base) is not None


def progressive(base):
    """The form in -ing."""
    return (base[:-1] if base.endswith("e") and not base.endswith("ee") else base + base[-1] * doubles(base)) + "ing"


class Lexicon:
    """All of lexicon.toml, checked, with the held-out words chosen."""

    def __init__(self, path=HERE / "lexicon.toml", seed=7):
        data = tomllib.loads(path.read_text())
        self.filler = {kind: tuple(words.split()) for kind, words in data["filler"].items() if kind != "verb"}
        self.filler_verbs = verbs(data["filler"]["verb"])
        self.ordinary = {form for verb in self.filler_verbs for form in verb}.union(*self.filler.values())
        ambiguous = set(data["senses"])
        self.fields = {
            name: Field(name, tuple(x["n"].split()), verbs(x["v"]), tuple(x["a"].split()))
            for name, x in data["fields"].items()
        }
        for field in self.fields.values():
            assert not field.words() & ambiguous, f"{field.name} has ambiguous words: {field.words() & ambiguous}"
        self.related = self._related(data["related"]["groups"])
        rng = random.Random(seed)
        self.senses = [sense for word, senses in data["senses"].items() for sense in self._senses(word, senses, rng)]
        self.words = tuple(data["senses"])

    def _related(self, groups):
        related = {name: {name} for name in self.fields}
        for group in groups:
            for name in group.split():
                related[name] |= set(group.split())
        return related

    def _senses(self, word, senses, rng):
        split = {name: (frozenset(text.split()) - FLAGS, frozenset(text.split()) & FLAGS) for name, text in senses.items()}
        for name, (fields, flags) in split.items():
            rivals = frozenset().union(*(others for other, (others, _) in split.items() if other != name))
            near = frozenset().union(*(self.related[rival] for rival in rivals)) - fields
            own = sorted({noun for field in fields for noun in self.fields[field].nouns})
            wrong = frozenset().union(*(self.fields[field].words() for field in near))
            competing = frozenset().union(*(self.fields[field].words() for field in rivals))
            nouns = [noun for noun in own if noun not in competing]
            rng.shuffle(nouns)
            held = round(HELD_OUT * len(nouns))
            # A word that also belongs to a related field of a rival still decides if it is this sense's own.
            wrong = (wrong - frozenset(nouns)) | competing
            held_out = tuple(nouns[:held])
            test = tuple(noun for noun in held_out if noun not in self.ordinary)
            yield Sense(word, name, fields, flags, tuple(nouns[held:]), held_out, test, wrong, rivals)

    def compatible(self, one, other):
        """Whether two words may stand in one text: neither speaks for another sense of the other."""
        if one.word == other.word:
            return False
        return not (one.rivals & (other.fields | other.rivals)) and not (other.rivals & (one.fields | one.rivals))

    def vocabulary(self):
        return set(self.words) | self.ordinary.union(*(field.words() for field in self.fields.values()))
