"""The test of evaluate.py in PyTorch, from the files as they are: a check of the engine by other means."""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from encoder import Encoder, Sizes, published
from lexicon import Lexicon
from testset import test_set
from tokens import CLS, SEP, Tokens


def load(folder):
    config = json.loads((folder / "config.json").read_text())
    sizes = Sizes(
        vocab=config["vocab_size"],
        labels=len(config["id2label"]),
        hidden=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        inner=config["intermediate_size"],
        positions=config["max_position_embeddings"],
        types=config["type_vocab_size"],
        eps=config["layer_norm_eps"],
    )
    model = Encoder(sizes).eval()
    tensors = load_file(folder / "model.safetensors")
    for name, parameter in published(model).items():
        parameter.data.copy_(tensors[name].float())
    return model, [config["id2label"][str(at)] for at in range(sizes.labels)]


def read(model, tokens, text, sense, attention):
    """The scores of all labels for the ambiguous word: at the first place where the text has it."""
    pieces = [tokens.word(word) for word in text.words]
    place = 1 + sum(map(len, pieces[: text.senses.index(sense)]))
    ids = torch.tensor([[CLS, *(piece for word in pieces for piece in word), SEP]])
    length = ids.shape[1]
    mask = torch.zeros(1, 1, length, length)
    if not attention:
        mask.masked_fill_(~torch.eye(length, dtype=torch.bool), float("-inf"))
    return model.classifier(model(ids, mask)[0, place])


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path(__file__).parent.parent / "model")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, labels = load(args.model)
    lexicon = Lexicon()
    tokens = Tokens(lexicon)
    of_word = {word: [at for at, label in enumerate(labels) if label.split(":")[0] == word] for word in lexicon.words}
    for name, texts in test_set(lexicon):
        right = sum(labels[read(model, tokens, text, sense, True).argmax()] == sense.label for text, sense in texts)
        # With attention off only the senses of the word itself are asked for: otherwise it would be below guessing.
        alone = 0
        for text, sense in texts:
            own = of_word[sense.word]
            alone += labels[own[read(model, tokens, text, sense, False)[own].argmax()]] == sense.label
        print(f"{name}: {right / len(texts):.1%} of {len(texts)}, attention off {alone / len(texts):.1%}")


if __name__ == "__main__":
    main()
