"""The arguments of SGLang that matter to a middleware."""

from __future__ import annotations

import argparse


def prepare_server_args(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("sglang")
    parser.add_argument("--model-path", required=True)
    parser.add_argument("--api-key")
    parser.add_argument("--tokenizer-worker-num", type=int, default=1)
    parser.add_argument("--port", type=int, default=30000)
    return parser.parse_args(argv)
