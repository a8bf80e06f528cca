"""Writes a model's folder: config.json, tokenizer.json, model.safetensors."""

import json

import torch
from safetensors.torch import save

from encoder import published

# The file has to fit a microcontroller's flash.
MOST_BYTES = 1_000_000


def config(sizes, labels):
    return {
        "architectures": ["BertForTokenClassification"],
        "model_type": "bert",
        "vocab_size": sizes.vocab,
        "hidden_size": sizes.hidden,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.inner,
        "max_position_embeddings": sizes.positions,
        "type_vocab_size": sizes.types,
        "layer_norm_eps": sizes.eps,
        "hidden_act": "gelu",
        "pad_token_id": 0,
        "torch_dtype": "float16",
        "id2label": {str(at): label for at, label in enumerate(labels)},
        "label2id": {label: at for at, label in enumerate(labels)},
    }


def write(folder, model, tokens, labels):
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in published(model).items()}
    weights = save(tensors, metadata={"format": "pt"})
    assert len(weights) <= MOST_BYTES, f"{len(weights)} bytes are more than {MOST_BYTES}"
    (folder / "model.safetensors").write_bytes(weights)
    for name, value in (("config.json", config(model.sizes, labels)), ("tokenizer.json", tokens.tokenizer_json())):
        (folder / name).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
    print(f"{folder}: {len(weights)} bytes of weights")
