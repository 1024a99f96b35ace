"""Load beside the requests that a test watches."""

import contextlib
import threading

from generation import fold, generate_request


@contextlib.contextmanager
def neighbours(stub, count=4):
    """Others' requests of many lengths, coming and going until the block ends."""
    stop = threading.Event()
    failures = []

    def live(index):
        turn = 0
        while not stop.is_set():
            turn += 1
            try:
                fold(stub.StreamGenerate(generate_request(
                    text="word " * (1 + (37 * index + 11 * turn) % 150), sampling={"temperature": 1.0},
                    stopping={"max_new_tokens": 1 + (13 * index + turn) % 40})))
            except Exception as failure:  # Told when the block ends.
                failures.append(failure)
                return

    threads = [threading.Thread(target=live, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures, failures
