#!/usr/bin/env python3
"""Times faster-whisper on recordings: the peer for our own transcription benchmark.

    python3 -m venv venv
    venv/bin/pip install faster-whisper==1.2.1
    venv/bin/python ggml_to_ctranslate2.py MODEL.bin FOLDER
    venv/bin/python faster_whisper_bench.py --model FOLDER --threads 2 \\
        --truth conversation.json RECORDING...

A recording may be named more than once: each mention is decoded and transcribed anew. The clock
starts after the model is loaded and one recording has been transcribed as a warm-up; it covers
decoding the audio, finding speech and recognising it. The last line printed is JSON:
{"seconds", "audio_s", "wer", "settings"}, and "cpu_s", the processor time of the same work,
which says more than the seconds do when other programs want the same cores.

What is fixed, and why: temperature 0 (no second tries, which a small model's silence would set
off), no text carried from window to window, sentence times on (the batched pipeline leaves them
off unless asked). The rest is on the command line; `--help` shows the defaults.

For many recordings the fastest setting we found is int8, batched, greedy, one thread for each of
as many recordings at once as there are threads: `--at-once 2` with `--threads 2`. A batch holds
windows of one recording only, so 100 s of audio (four windows) are the same in batches of 4, 8
or 16. For one recording after another leave `--at-once` out.
"""

import argparse
import json
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def parse():
    parser = argparse.ArgumentParser(description="times faster-whisper on recordings")
    parser.add_argument("recordings", nargs="+", help="any audio files")
    parser.add_argument("--model", required=True, help="folder by ggml_to_ctranslate2.py")
    parser.add_argument("--threads", type=int, default=2, help="threads for everything (2)")
    parser.add_argument("--at-once", type=int, default=1, help="recordings at a time (1)")
    parser.add_argument("--pipeline", choices=("batched", "plain"), default="batched")
    parser.add_argument("--batch-size", type=int, default=8, help="windows in a batch (8)")
    parser.add_argument("--beam-size", type=int, default=1, help="1 is greedy (1)")
    parser.add_argument("--compute-type", default="int8", help="int8, float32, ... (int8)")
    parser.add_argument("--word-timestamps", action="store_true", help="times for words too")
    parser.add_argument("--vad", action="store_true", help="find speech in the plain pipeline too")
    parser.add_argument("--truth", type=Path, help="JSON whose turns' texts every recording says")
    parser.add_argument("--show", action="store_true", help="print the warm-up's sentences")
    args = parser.parse_args()
    if args.threads < 1 or args.at_once < 1 or args.threads % args.at_once:
        parser.error("--threads must be a multiple of --at-once, and both at least 1")
    return args


def load(args):
    """The model, with its threads shared out among the recordings that run at once."""
    each = args.threads // args.at_once
    # Read when the libraries load, so set before they do: the number of threads of each one's
    # pool. onnxruntime, which finds speech, uses one thread whatever is asked.
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = str(each)
    from faster_whisper import WhisperModel

    return WhisperModel(
        args.model,
        device="cpu",
        compute_type=args.compute_type,
        cpu_threads=each,
        num_workers=args.at_once,
        local_files_only=True,
    )


def settings(args):
    """What is asked of `transcribe`, beyond faster-whisper's defaults."""
    chosen = {
        "beam_size": args.beam_size,
        "temperature": 0.0,
        "condition_on_previous_text": False,
        "without_timestamps": False,
        "word_timestamps": args.word_timestamps,
    }
    if args.pipeline == "batched":
        return chosen | {"batch_size": args.batch_size, "vad_filter": True}
    return chosen | {"vad_filter": args.vad}


def transcribe(model, args, recording):
    """One recording from file to sentences, and its length in seconds."""
    from faster_whisper import BatchedInferencePipeline

    # The pipeline keeps a note of the last word's end, so each recording has its own.
    pipeline = BatchedInferencePipeline(model) if args.pipeline == "batched" else model
    sentences, about = pipeline.transcribe(recording, **settings(args))
    return list(sentences), about.duration  # the list does the work: `sentences` is lazy


def spoken(text):
    """The words, without case and punctuation."""
    return re.findall(r"[a-z0-9']+", text.lower())


def edits(truth, heard):
    """Words put in, left out or replaced, at least, to turn one list into the other."""
    row = list(range(len(heard) + 1))
    for number, word in enumerate(truth, 1):
        diagonal, row[0] = row[0], number
        for place, other in enumerate(heard, 1):
            replaced = diagonal + (word != other)
            diagonal = row[place]
            row[place] = min(replaced, row[place] + 1, row[place - 1] + 1)
    return row[-1]


def word_error_rate(path, transcripts):
    """Wrong words of all transcripts for each true word, or None where no truth was given."""
    if path is None:
        return None
    truth = spoken(" ".join(turn["text"] for turn in json.loads(path.read_text())["turns"]))
    wrong = sum(edits(truth, spoken(text)) for text in transcripts)
    return round(wrong / (len(truth) * len(transcripts)), 4)


def described(args, model):
    """The exact parameters, in one line."""
    import ctranslate2
    import faster_whisper

    asked = ", ".join(f"{name}={value}" for name, value in settings(args).items())
    each = args.threads // args.at_once
    return (
        f"faster-whisper {faster_whisper.__version__}, CTranslate2 {ctranslate2.__version__}, "
        f"{args.pipeline}, computing in {model.model.compute_type}, {args.at_once} at once "
        f"on {each} threads each, {asked}"
    )


def main():
    args = parse()
    missing = [path for path in args.recordings if not Path(path).is_file()]
    if missing:
        sys.exit(f"no such recording: {missing[0]}")
    begin = time.monotonic()
    model = load(args)
    loaded = time.monotonic() - begin
    warm, _ = transcribe(model, args, args.recordings[0])
    if args.show:
        for sentence in warm:
            print(f"{sentence.start:8.2f} {sentence.end:8.2f} {sentence.text.strip()}")

    begin, cpu = time.monotonic(), time.process_time()
    with ThreadPoolExecutor(args.at_once) as pool:
        results = list(pool.map(lambda path: transcribe(model, args, path), args.recordings))
    seconds, cpu = time.monotonic() - begin, time.process_time() - cpu

    audio = sum(length for _, length in results)
    texts = [" ".join(sentence.text for sentence in sentences) for sentences, _ in results]
    report = {
        "seconds": round(seconds, 3),
        "audio_s": round(audio, 3),
        "wer": word_error_rate(args.truth, texts),
        "settings": described(args, model),
        "cpu_s": round(cpu, 3),
    }
    print(f"loading {loaded:.2f} s, apart")
    print(
        f"{len(results)} recordings, {audio:.1f} s of audio in {seconds:.2f} s "
        f"({cpu:.2f} s of processor time): {audio / seconds:.1f} audio seconds per second"
    )
    print(json.dumps(report))


if __name__ == "__main__":
    main()
