"""Readers in a process of their own: ``python -m tests.benchmarks.readers URL COUNT RATE OPEN FORM``.

COUNT questions are asked at URL, RATE a second whatever comes back (0: as fast as the answers come), at most
OPEN at once; FORM is ``sse`` or ``json``. A reader who has to wait for a place waits on their own clock, as
behind Cloud Run's limit of requests at a time. Prints one JSON document with each reader's figures.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit

QUESTION = "When do I pick a Bramley?"
MOST_SECONDS = 60.0
FORMS = {"sse": "text/event-stream", "json": "application/json"}


@dataclass
class Figures:
    """Seconds from the moment at which a reader came to the first word and to the end; what went wrong."""

    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    most_open: int = 0
    seconds: float = 0.0


class Readers:
    def __init__(self, url: str, form: str, most_open: int) -> None:
        self._url = urlsplit(url)
        self._form = form
        self._places = threading.Semaphore(most_open)
        self._lock = threading.Lock()
        self._open = 0
        self.figures = Figures()

    def come(self, count: int, rate: float) -> Figures:
        began = time.perf_counter()
        readers = []
        for number in range(count):
            if rate:
                time.sleep(max(0.0, began + number / rate - time.perf_counter()))
                due = began + number / rate
            else:
                self._places.acquire()
                self._places.release()
                due = time.perf_counter()
            readers.append(threading.Thread(target=self._read, args=(number, due), daemon=True))
            readers[-1].start()
        for one in readers:
            one.join(MOST_SECONDS)
        self.figures.seconds = time.perf_counter() - began
        return self.figures

    def _read(self, number: int, due: float) -> None:
        with self._places:
            with self._lock:
                self._open += 1
                self.figures.most_open = max(self.figures.most_open, self._open)
            try:
                first, kind = self._ask(number)
                with self._lock:
                    self.figures.first.append(first - due)
                    self.figures.whole.append(time.perf_counter() - due)
                    self.figures.kinds.append(kind)
            except (OSError, http.client.HTTPException, ValueError) as error:
                with self._lock:
                    self.figures.wrong.append(f"{type(error).__name__}: {error}"[:300])
            finally:
                with self._lock:
                    self._open -= 1

    def _ask(self, number: int) -> tuple[float, str]:
        connection = http.client.HTTPConnection(
            self._url.hostname or "", self._url.port, timeout=MOST_SECONDS
        )
        try:
            body = json.dumps({"question": QUESTION})
            headers = {"Content-Type": "application/json", "Accept": FORMS[self._form]}
            # Each reader has an address of their own: a visitor's limit is not what is measured.
            headers["X-Forwarded-For"] = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
            connection.request("POST", "/chat", body, headers)
            response = connection.getresponse()
            if response.status != 200:
                raise ValueError(f"{response.status} {response.read(300)!r}")
            return _stream(response) if self._form == "sse" else _whole(response)
        finally:
            connection.close()


def _whole(response: http.client.HTTPResponse) -> tuple[float, str]:
    answer = json.loads(response.read())
    return time.perf_counter(), f"{answer['kind']} {answer['rung']} recorded={answer['recorded']}"


def _stream(response: http.client.HTTPResponse) -> tuple[float, str]:
    first, name, rung = 0.0, "", ""
    for line in response:
        if line.startswith(b"event: "):
            name = line[7:].strip().decode()
            first = first or (time.perf_counter() if name == "token" else 0.0)
        elif line.startswith(b"data: ") and name in {"meta", "done", "error"}:
            said = json.loads(line[6:])
            if name == "error":
                raise ValueError(str(said))
            if name == "meta":
                rung = said["rung"]
            else:
                return first, f"{said['kind']} {rung} recorded={said['recorded']}"
    raise ValueError("the stream ended early")


if __name__ == "__main__":
    address, count, rate, most_open, form = sys.argv[1:]
    print(json.dumps(asdict(Readers(address, form, int(most_open)).come(int(count), float(rate)))))
