"""Texts from the grammar: words, each with the sense it has and the field it belongs to."""

import re
import tomllib
from dataclasses import dataclass, field

from lexicon import HERE, progressive, regular

FRAMES = tomllib.loads((HERE / "frames.toml").read_text())
SLOT = re.compile(r"\{(\w+)\}")
DETERMINERS = ("the",) * 5 + ("a",) * 2 + ("this", "that", "my", "his", "her", "our", "their")
PLURAL_DETERMINERS = ("the",) * 3 + ("these", "those", "some", "two", "many", "my", "our")
NO_PLURAL = ("s", "sh", "ch", "x", "y")
PLURAL_SHARE = 0.12
# Words of a sense without any that decides it: then each sense is as likely as another.
UNDECIDED = 0.02


@dataclass
class Text:
    """Words in lower case. `senses` and `fields` have an entry for each word, None for most."""

    words: list = field(default_factory=list)
    senses: list = field(default_factory=list)
    fields: list = field(default_factory=list)

    def add(self, word, sense=None, of=None):
        self.words.append(word)
        self.senses.append(sense)
        self.fields.append(of)

    def extend(self, other):
        self.words += other.words
        self.senses += other.senses
        self.fields += other.fields

    def __str__(self):
        return " ".join(self.words)


class Grammar:
    """Makes texts of one split, "train" or "test"."""

    def __init__(self, lexicon, rng, split="train"):
        self.lexicon, self.rng, self.split = lexicon, rng, split
        self.frames = {kind: [frame.split() for frame in frames[split]] for kind, frames in FRAMES.items()}

    # Whole texts

    def near(self, sense):
        """One sentence with the word and what decides it."""
        verb = "verb" in sense.flags
        return self.sentence(self.pick("near_verb" if verb else "near"), Choice(self, [sense], sense))

    def together(self, one, other):
        """A sentence with two ambiguous words that are of one field, and decide each other or are decided alike."""
        choice = Choice(self, [one, other], one, partner=other)
        return self.sentence(self.pick("near"), choice)

    def undecided(self, sense):
        """A sentence that says nothing about the sense."""
        verb = "verb" in sense.flags
        text = Text()
        if self.rng.random() < 0.3:
            text.add(sense.word, sense)
            return text
        return self.sentence(self.pick("bare_verb" if verb else "bare"), Choice(self, [sense], sense))

    def topic(self, name):
        """A sentence about a field, without ambiguous words."""
        if self.rng.random() < 0.1:
            text = Text()
            text.add(self.rng.choice(self.lexicon.fields[name].nouns), of=name)
            return text
        return self.sentence(self.pick("cue"), Choice(self, [], None, topic=name))

    def document(self, targets, words, cues=(1, 2, 3)):
        """A text of about `words` words: for each target a sentence that decides it and one with the word, anywhere."""
        rng = self.rng
        parts = []
        for target in targets:
            choice = Choice(self, targets, target)
            bare = "bare_verb" if "verb" in target.flags else "bare"
            parts.append(self.sentence(self.pick(bare), choice))
            parts += [self.sentence(self.pick("cue"), choice) for _ in range(rng.choice(cues))]
        parts += self.filling(targets, words - sum(len(part.words) for part in parts), topics=0.4)
        rng.shuffle(parts)
        return join(parts)

    def far(self, target, distance, before=None):
        """A text whose one deciding word stands at least `distance` words from the ambiguous one."""
        rng = self.rng
        choice = Choice(self, [target], target, single=True)
        bare = "bare_verb" if "verb" in target.flags else "bare"
        cue, word = self.sentence(self.pick("cue"), choice), self.sentence(self.pick(bare), choice)
        between = join(self.filling([target], distance, topics=0.4))
        parts = [cue, between, word]
        if rng.random() < 0.25 if before is None else not before:
            parts.reverse()
        return join(parts)

    def filling(self, targets, words, topics):
        """Sentences of at least `words` words that decide nothing for the targets."""
        rng, parts = self.rng, []
        near = {name for target in targets for name in target.rivals | target.fields}
        avoid = set().union(*(self.lexicon.related[name] for name in near))
        free = [name for name in self.lexicon.fields if name not in avoid]
        about = rng.sample(free, 4)
        while words > 0:
            if rng.random() < topics:
                part = self.sentence(self.pick("cue"), Choice(self, targets, None, topic=rng.choice(about)))
            else:
                part = self.sentence(self.pick("filler"), Choice(self, targets, None))
            words -= len(part.words)
            parts.append(part)
        return parts

    # Sentences

    def pick(self, kind):
        return self.rng.choice(self.frames[kind])

    def sentence(self, frame, choice):
        text = Text()
        for token in frame:
            slot = SLOT.fullmatch(token)
            if slot:
                choice.fill(slot[1], text)
            else:
                text.add(token)
        if text.words[-1] not in ("?", "!") and (len(text.words) > 2 or self.rng.random() < 0.3) and self.rng.random() < 0.9:
            text.add(".")
        return text


def join(parts):
    whole = Text()
    for part in parts:
        whole.extend(part)
        if part.words and part.words[-1] not in (".", "?", "!"):
            whole.add(".")
    return whole


class Choice:
    """Fills the slots of one frame: `about` is the ambiguous word, if there is one, `targets` all those of the text."""

    def __init__(self, grammar, targets, about, partner=None, topic=None, single=False):
        self.grammar, self.rng = grammar, grammar.rng
        self.about, self.partner = about, partner
        self.single = single
        names = sorted(about.fields) if about else [topic] if topic else []
        if partner:
            names = sorted(about.fields & partner.fields)
        self.field = grammar.lexicon.fields[self.rng.choice(names)] if names else None
        self.banned = set()
        for target in targets:
            # In the test only the target's own cue is new; other words are as in training.
            own = grammar.split == "test" and target is about
            self.banned |= target.wrong | set(target.train if own else target.held_out)
        self.partner_left = partner
        self.noun = None

    def cue(self):
        """A noun of the field; in the test of a sense, one that never stood beside the word."""
        if self.about and self.grammar.split == "test":
            if not self.single or self.noun is None:
                self.noun = self.rng.choice(self.about.test)
            return self.noun
        allowed = [noun for noun in self.field.nouns if noun not in self.banned]
        if self.about and not allowed:
            allowed = self.about.train
        return self.rng.choice(allowed)

    def fill(self, slot, text):
        getattr(self, "_" + slot)(text)

    def noun_phrase(self, noun, text, sense=None, of=None, flags=()):
        rng = self.rng
        plural = "mass" not in flags and "name" not in flags and not noun.endswith(NO_PLURAL) and rng.random() < PLURAL_SHARE
        if "name" not in flags and rng.random() < 0.9:
            determiner = rng.choice(PLURAL_DETERMINERS if plural else DETERMINERS)
            text.add("an" if determiner == "a" and noun[0] in "aeiou" else determiner)
        text.add(noun + "s" if plural else noun, sense, of)

    def _W(self, text):
        self.noun_phrase(self.about.word, text, self.about, flags=self.about.flags)

    def _w(self, text):
        text.add(self.about.word, self.about)

    def _wed(self, text):
        text.add(regular(self.about.word), self.about)

    def _wing(self, text):
        text.add(progressive(self.about.word), self.about)

    def _ing(self, text):
        bases = [base for base, _ in self.field.verbs if base not in self.banned]
        if self.single or not bases:
            text.add(progressive(self.rng.choice(self.grammar.lexicon.filler_verbs)[0]))
        else:
            text.add(progressive(self.rng.choice(bases)), of=self.field.name)

    def _N(self, text):
        if self.partner_left:
            partner, self.partner_left = self.partner_left, None
            self.noun_phrase(partner.word, text, partner, flags=partner.flags)
        else:
            self.noun_phrase(self.cue(), text, of=self.field.name)

    _M = _N

    def _n(self, text):
        if self.partner_left:
            text.add(self.partner_left.word, self.partner_left)
            self.partner_left = None
        else:
            text.add(self.cue(), of=self.field.name)

    _m = _n

    def some(self, words):
        allowed = [word for word in words if word not in self.banned]
        return self.rng.choice(allowed or words)

    def verb(self, form, text):
        pairs = [pair for pair in self.field.verbs if not self.banned & set(pair)]
        if self.single or not pairs:  # then a verb must not decide
            text.add(self.rng.choice(self.grammar.lexicon.filler_verbs)[form])
        else:
            text.add(self.rng.choice(pairs)[form], of=self.field.name)

    def _v(self, text):
        self.verb(1, text)

    def _b(self, text):
        self.verb(0, text)

    def _a(self, text):
        allowed = [word for word in self.field.adjectives if word not in self.banned]
        if self.single or not allowed:
            self._A(text)
        else:
            text.add(self.rng.choice(allowed), of=self.field.name)

    def _P(self, text):
        filler = self.grammar.lexicon.filler
        if self.rng.random() < 0.6:
            text.add(self.rng.choice(filler["person"]))
        else:
            self._Q(text)

    def _Q(self, text):
        text.add(self.rng.choice(("my", "his", "her", "our", "the", "the", "a", "their", "your")))
        text.add(self.rng.choice(self.grammar.lexicon.filler["relation"]))

    def _X(self, text):
        text.add(self.rng.choice(DETERMINERS))
        if self.rng.random() < 0.3:
            self._A(text)
        self._x(text)

    def _x(self, text):
        text.add(self.some(self.grammar.lexicon.filler["noun"]))

    def _A(self, text):
        text.add(self.some(self.grammar.lexicon.filler["adjective"]))

    def _V(self, text):
        text.add(self.rng.choice(self.grammar.lexicon.filler_verbs)[1])

    def _B(self, text):
        text.add(self.rng.choice(self.grammar.lexicon.filler_verbs)[0])

    def _T(self, text):
        text.add(self.rng.choice(self.grammar.lexicon.filler["time"]))
