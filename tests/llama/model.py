"""Writes a model file: a real architecture, a vocabulary of bytes and letters, weights drawn at random.

    python tests/llama/model.py FILE      in the environment of tests/llama/requirements.txt

What it says has no meaning, and that is the use of it: every byte may come, in any order.
"""

from __future__ import annotations

import string
import sys

import gguf
import numpy

CONTEXT, WIDTH, HEADS, LAYERS, INNER = 512, 64, 4, 2, 128
BLANK = "\u2581"
BYTES = [f"<0x{number:02X}>" for number in range(256)]
LETTERS = [BLANK + letter for letter in string.ascii_lowercase] + list(string.ascii_lowercase) + [BLANK]


def write(path: str, seed: int = 7) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    words = _describe(writer)
    draw = numpy.random.default_rng(seed)

    def drawn(*shape: int) -> numpy.ndarray:
        return (draw.standard_normal(shape) * 0.3).astype(numpy.float32)

    ones = numpy.ones(WIDTH, numpy.float32)
    for name, tensor in (("token_embd", drawn(words, WIDTH)), ("output_norm", ones), ("output", drawn(words, WIDTH))):
        writer.add_tensor(f"{name}.weight", tensor)
    for layer in range(LAYERS):
        for name, shape in _shapes():
            writer.add_tensor(f"blk.{layer}.{name}.weight", drawn(*shape) if shape else ones)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: gguf.GGUFWriter) -> int:
    words = ["<unk>", "<s>", "</s>", *BYTES, *LETTERS]
    kinds = [gguf.TokenType.UNKNOWN, *[gguf.TokenType.CONTROL] * 2]
    kinds += [gguf.TokenType.BYTE] * len(BYTES) + [gguf.TokenType.NORMAL] * len(LETTERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(words))
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words)
    writer.add_token_scores([0.0] * 3 + [-1000.0] * len(BYTES) + [-float(number) for number in range(len(LETTERS))])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    return len(words)


def _shapes() -> list[tuple[str, tuple[int, int] | None]]:
    square = [(f"attn_{name}", (WIDTH, WIDTH)) for name in ("q", "k", "v", "output")]
    return [
        ("attn_norm", None),
        ("ffn_norm", None),
        *square,
        ("ffn_gate", (INNER, WIDTH)),
        ("ffn_up", (INNER, WIDTH)),
        ("ffn_down", (WIDTH, INNER)),
    ]


if __name__ == "__main__":
    write(sys.argv[1])
