#!/usr/bin/env python3
"""What `./dev demo` shows: streams a story, then a chat answer, from a running server.

    demo_client.py --target 127.0.0.1:50051
"""

import argparse
import sys
import time

import server_process  # noqa: F401  Puts the generated stubs on the path.

import grpc

from hocket.v1 import generation_pb2, hocket_pb2, hocket_pb2_grpc


def stream(stub, title, request):
    """Prints a completion as it comes; returns whether any text did."""
    print(f"\n\033[1m{title}\033[0m" if sys.stdout.isatty() else f"\n{title}")
    start, first, text = time.monotonic(), None, ""
    for event in stub.StreamGenerate(request, timeout=120):
        kind = event.WhichOneof("event")
        if kind == "delta":
            first = first or time.monotonic()
            text += event.delta.text
            print(event.delta.text, end="", flush=True)
        elif kind == "finished":
            usage = event.finished.usage
            reason = generation_pb2.FinishReason.Name(event.finished.finish_reason)
            seconds = time.monotonic() - start
            print(f"\n  [{usage.prompt_tokens} prompt and {usage.generated_tokens} new tokens, "
                  f"{usage.generated_tokens / seconds:.0f} tokens/s, first after "
                  f"{1000 * ((first or time.monotonic()) - start):.0f} ms, "
                  f"{reason.removeprefix('FINISH_REASON_').lower()}]")
    return bool(text.strip())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", default="127.0.0.1:50051", metavar="HOST:PORT")
    arguments = parser.parse_args()
    with grpc.insecure_channel(arguments.target) as channel:
        stub = hocket_pb2_grpc.HocketStub(channel)
        try:
            model = stub.GetModel(hocket_pb2.GetModelRequest(), timeout=30).model
            print(f"{model.name}: {model.architecture}, {model.parameters / 1e6:.1f} M parameters, "
                  f"{model.precision}, context {model.max_context_tokens}")
            story = generation_pb2.GenerateRequest(
                text="Once upon a time",
                sampling={"temperature": 0.7, "top_p": 0.95, "seed": 7},
                stopping={"max_new_tokens": 300})
            chat = generation_pb2.GenerateRequest(
                chat={"messages": [{"role": "user", "content":
                                    "Tell me a story about a brave fox who lost a lantern."}]},
                sampling={"temperature": 0.7, "top_p": 0.95, "seed": 7},
                stopping={"max_new_tokens": 300})
            told = stream(stub, "Once upon a time…", story)
            answered = stream(stub, "> Tell me a story about a brave fox who lost a lantern.", chat)
        except grpc.RpcError as error:
            sys.exit(f"demo_client: {arguments.target}: {error.code().name}: {error.details()}")
    sys.exit(0 if told and answered else "demo_client: the model said nothing")


if __name__ == "__main__":
    main()
