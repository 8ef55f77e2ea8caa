#!/usr/bin/env python3
"""Turns a ggml Whisper file (whisper.cpp's format) into a model folder for faster-whisper.

So that a benchmark can run the same weights in both programs. English-only models; f32, f16 and
q5_0 tensors. Nothing is fetched from the network: the vocabulary comes from the ggml file, and
the byte-pair merges are worked out from it.

    python3 -m venv venv
    venv/bin/pip install faster-whisper==1.2.1
    venv/bin/python ggml_to_ctranslate2.py MODEL.bin FOLDER

The weights are written as float32, which holds the ggml values exactly: the program that loads
the folder picks the type to compute in (`compute_type="int8"` rounds once, on loading).
"""

import argparse
import json
import struct
import sys
from pathlib import Path

import numpy as np
import tokenizers
from ctranslate2.specs import WhisperSpec
from faster_whisper.tokenizer import Tokenizer
from tokenizers import AddedToken, decoders, models, pre_tokenizers

MAGIC = 0x67676D6C  # "ggml"
ENGLISH_VOCABULARY = 51864  # tokens of every English-only Whisper; multilingual ones have more
LANGUAGES = 99  # language tokens; an English-only model has them but never uses them
F32, F16, Q5_0 = 0, 1, 6  # ggml's numbers for the tensor types read here
LOST = "\ufffd".encode()  # stands for bytes that are not whole UTF-8 characters
Q5_0_VALUES = 32  # values in one q5_0 block
# One q5_0 block: a scale, the fifth bit of each value, then the low four bits, two to a byte.
Q5_0_BLOCK = np.dtype([("scale", "<f2"), ("high", "<u4"), ("low", "u1", Q5_0_VALUES // 2)])

# (layer, head) of tiny.en's cross-attention heads that follow the audio. The demo model, of the
# same depth and head count, was trained to use these.
ALIGNMENT_HEADS = [(1, 0), (2, 0), (2, 5), (3, 0), (3, 1), (3, 2), (3, 3), (3, 4)]


class Ggml:
    """A parsed file: `sizes` by name, `vocabulary` as bytes by token id, `tensors` as float32."""

    SIZES = (
        "vocabulary audio_context audio_width audio_heads audio_layers "
        "text_context text_width text_heads text_layers mels tensor_type"
    ).split()

    def __init__(self, path):
        self.data = path.read_bytes()
        self.at = 0
        if self.ints(1) != (MAGIC,):
            raise ValueError(f"{path} is not a ggml Whisper file: its first four bytes differ")
        self.sizes = dict(zip(self.SIZES, self.ints(len(self.SIZES))))
        if self.sizes["vocabulary"] != ENGLISH_VOCABULARY:
            raise ValueError(f"{path} is not an English-only model: convert one whose name has .en")
        rows, columns = self.ints(2)
        self.take(4 * rows * columns)  # the mel filters; faster-whisper computes its own
        (count,) = self.ints(1)
        self.vocabulary = [self.take(*self.ints(1)) for _ in range(count)]
        self.tensors = {}
        while self.at < len(self.data):
            name, values = self.tensor()
            self.tensors[name] = values

    def take(self, length):
        """The next `length` bytes."""
        piece = self.data[self.at : self.at + length]
        if len(piece) < length:
            raise ValueError("the ggml file ends early: copy it again")
        self.at += length
        return piece

    def ints(self, count):
        """The next `count` 32-bit integers."""
        return struct.unpack(f"<{count}i", self.take(4 * count))

    def tensor(self):
        """The next tensor: its name and its values, with the slowest dimension first."""
        dimensions, name_length, kind = self.ints(3)
        shape = self.ints(dimensions)[::-1]  # ggml writes the fastest dimension first
        name = self.take(name_length).decode()
        count = int(np.prod(shape))
        if kind == F32:
            values = np.frombuffer(self.take(4 * count), "<f4")
        elif kind == F16:
            values = np.frombuffer(self.take(2 * count), "<f2")
        elif kind == Q5_0:
            length = count // Q5_0_VALUES * Q5_0_BLOCK.itemsize
            values = dequantised(np.frombuffer(self.take(length), Q5_0_BLOCK))
        else:
            raise ValueError(f"tensor {name} has ggml type {kind}: only f32, f16 and q5_0 are read")
        return name, values.astype(np.float32).reshape(shape)


def dequantised(blocks):
    """The values of q5_0 blocks: a five-bit number less 16, times the block's scale."""
    low = np.concatenate([blocks["low"] & 15, blocks["low"] >> 4], axis=1)
    high = blocks["high"][:, None] >> np.arange(Q5_0_VALUES, dtype=np.uint32) & 1
    return (low + 16.0 * high - 16.0) * blocks["scale"].astype(np.float32)[:, None]


def specification(ggml):
    """The CTranslate2 model with the file's weights."""
    sizes, tensors = ggml.sizes, ggml.tensors
    spec = WhisperSpec(
        sizes["audio_layers"], sizes["audio_heads"], sizes["text_layers"], sizes["text_heads"]
    )
    for conv in ("conv1", "conv2"):
        target = getattr(spec.encoder, conv)
        target.weight = tensors[f"encoder.{conv}.weight"]
        target.bias = tensors[f"encoder.{conv}.bias"].reshape(-1)
    embedding = tensors["decoder.token_embedding.weight"]
    spec.decoder.embeddings.weight = embedding
    spec.decoder.projection.weight = embedding  # Whisper reads its output with the same matrix
    for side, half, norm in (
        ("encoder", spec.encoder, "encoder.ln_post"),
        ("decoder", spec.decoder, "decoder.ln"),
    ):
        half.position_encodings.encodings = tensors[f"{side}.positional_embedding"]
        set_norm(half.layer_norm, tensors, norm)
        for number, layer in enumerate(half.layer):
            set_layer(layer, tensors, f"{side}.blocks.{number}")
    return spec


def set_layer(layer, tensors, block):
    """Fills one encoder or decoder layer; only the latter listens to the audio as well."""
    set_norm(layer.self_attention.layer_norm, tensors, f"{block}.attn_ln")
    set_attention(layer.self_attention, tensors, f"{block}.attn", [["query", "key", "value"]])
    if hasattr(layer, "attention"):
        set_norm(layer.attention.layer_norm, tensors, f"{block}.cross_attn_ln")
        groups = [["query"], ["key", "value"]]  # the words ask, the audio answers
        set_attention(layer.attention, tensors, f"{block}.cross_attn", groups)
    set_norm(layer.ffn.layer_norm, tensors, f"{block}.mlp_ln")
    set_linear(layer.ffn.linear_0, tensors, [f"{block}.mlp.0"])
    set_linear(layer.ffn.linear_1, tensors, [f"{block}.mlp.2"])


def set_attention(attention, tensors, prefix, groups):
    """Fills the input projections, each group stacked into one matrix, then the output."""
    for target, names in zip(attention.linear, groups + [["out"]], strict=True):
        set_linear(target, tensors, [f"{prefix}.{name}" for name in names])


def set_linear(target, tensors, names):
    """Stacks the named matrices. A missing bias (Whisper's keys have none) counts as zero."""
    weights = [tensors[f"{name}.weight"] for name in names]
    biases = [
        tensors.get(f"{name}.bias", np.zeros(len(weight), np.float32))
        for name, weight in zip(names, weights)
    ]
    target.weight, target.bias = np.concatenate(weights), np.concatenate(biases)


def set_norm(target, tensors, name):
    """Fills a layer norm."""
    target.gamma, target.beta = tensors[f"{name}.weight"], tensors[f"{name}.bias"]


# GPT-2's order of the 256 single bytes, its first tokens: those that Latin-1 shows, then the rest.
SHOWN = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
HIDDEN = [byte for byte in range(256) if byte not in SHOWN]
# The letter that byte-level tokenizers write for a byte: itself, or one from U+0100 on.
LETTERS = {byte: chr(byte) for byte in SHOWN} | {
    byte: chr(0x100 + place) for place, byte in enumerate(HIDDEN)
}


def words_of(vocabulary):
    """The words by token number, None for one whose bytes the file has lost.

    Some ggml files hold U+FFFD for bytes that are not whole UTF-8 characters. The single bytes
    are known all the same; longer ones belong to other alphabets and are left out.
    """
    words = [word for word in vocabulary if word != b"<|endoftext|>"]
    bytes_in_order = [bytes([byte]) for byte in SHOWN + HIDDEN]
    if any(a != b and a != LOST for a, b in zip(words, bytes_in_order)):
        raise ValueError("the vocabulary is not GPT-2's: its first tokens are not the 256 bytes")
    return bytes_in_order + [None if LOST in word else word for word in words[256:]]


def merges(words):
    """The merges, in order, that build a byte-pair vocabulary.

    A token's number is its rank: it was made by joining two earlier tokens. Which two, shows
    when its own bytes are joined by the earlier merges alone, until two pieces are left. Words
    that need a lost token get no merge: they can be read, never written.
    """
    ranks = {word: rank for rank, word in enumerate(words) if word}
    pairs = []
    for word, rank in ranks.items():
        pieces = [word[i : i + 1] for i in range(len(word))]
        while len(pieces) > 2:
            joined = [ranks.get(a + b, rank) for a, b in zip(pieces, pieces[1:])]
            first = min(range(len(joined)), key=joined.__getitem__)
            if joined[first] >= rank:
                break
            pieces[first : first + 2] = [pieces[first] + pieces[first + 1]]
        if len(pieces) == 2:
            pairs.append(tuple(pieces))
    return pairs


def special_tokens():
    """The tokens after the words, in Whisper's order, up to the first timestamp."""
    languages = [f"<|language {number}|>" for number in range(LANGUAGES)]
    tasks = "translate transcribe startoflm startofprev nocaptions notimestamps".split()
    return [f"<|{name}|>" for name in ("endoftext", "startoftranscript")] + languages + [
        f"<|{name}|>" for name in tasks
    ]


def tokenizer(words):
    """The tokenizer with the file's words, in the form faster-whisper loads."""
    written = [
        "".join(map(LETTERS.get, word)) if word else f"<|lost {number}|>"
        for number, word in enumerate(words)
    ]
    known = dict(zip(words, written))
    model = models.BPE(
        vocab={text: number for number, text in enumerate(written)},
        merges=[(known[a], known[b]) for a, b in merges(words)],
    )
    result = tokenizers.Tokenizer(model)
    result.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    result.decoder = decoders.ByteLevel()
    result.add_special_tokens([AddedToken(token, special=True) for token in special_tokens()])
    return result


def configure(spec, words_tokenizer):
    """Names the tokens that are never sampled, as Whisper's own decoder does by default.

    Music notes are among the lost tokens, so what is named for them is their first byte, and the
    lone space before it: tokens that no English word needs.
    """
    view = Tokenizer(words_tokenizer, multilingual=False)
    never = {view.transcribe, view.translate, view.sot, view.sot_prev, view.sot_lm, view.no_speech}
    spec.config.suppress_ids = sorted(never.union(view.non_speech_tokens))
    spec.config.suppress_ids_begin = [*view.encode(" "), view.eot]
    spec.config.lang_ids = []
    spec.config.alignment_heads = ALIGNMENT_HEADS


def convert(source, folder):
    """Writes `folder` with all that `faster_whisper.WhisperModel(folder)` reads."""
    ggml = Ggml(source)
    words_tokenizer = tokenizer(words_of(ggml.vocabulary))
    spec = specification(ggml)
    configure(spec, words_tokenizer)
    count = words_tokenizer.get_vocab_size()
    tokens = [words_tokenizer.id_to_token(number) for number in range(count)]
    tokens += [f"<|{step * 0.02:.2f}|>" for step in range(ggml.sizes["vocabulary"] - count)]
    spec.register_vocabulary(tokens)
    spec.validate()
    spec.optimize()  # stores the embedding once, although it is used twice
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    words_tokenizer.save(str(folder / "tokenizer.json"))
    features = {"feature_size": ggml.sizes["mels"], "sampling_rate": 16000, "hop_length": 160}
    features |= {"chunk_length": 30, "n_fft": 400}
    (folder / "preprocessor_config.json").write_text(json.dumps(features, indent=2) + "\n")
    return len(ggml.tensors)


def main():
    parser = argparse.ArgumentParser(description="ggml Whisper file to a faster-whisper folder")
    parser.add_argument("model", type=Path, help="the ggml file, English-only")
    parser.add_argument("folder", type=Path, help="the folder to write, made if missing")
    args = parser.parse_args()
    try:
        count = convert(args.model, args.folder)
    except (OSError, ValueError) as error:
        sys.exit(f"cannot convert {args.model}: {error}")
    print(f"{count} tensors written to {args.folder}")


if __name__ == "__main__":
    main()
