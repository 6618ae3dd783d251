"""A place to release in: a Cloud Run on this machine, with a real stack behind it, a site, readers and
builds.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from shared import settings
from shared.adapters.neon.url import parse
from shared.adapters.neon.wire import Wire
from shared.delivery.platform import FUNCTIONS, JOBS, job_name, service_name
from shared.embedded.fake_gemini import FakeGemini
from shared.ports.services import AWAY, located
from shared.resilience.deadline import Deadline
from shared.settings import ROOT, Settings
from shared.wiring import ingest
from shared.wiring.stack import services
from tests.delivery.variants import AS_IT_IS, HELLO, Variant
from tests.fakes.cloud_run.images import build
from tests.fakes.cloud_run.local import LocalCloudRun
from tests.fakes.gcs import FakeGcs
from tests.local_stack import write_site

KEY = "fake-key"
BUCKET = "lectern-staging-data"
CANARY = {
    "steps": [10, 50, 100],
    "step_seconds": 6,
    "questions": 16,
    "questions_per_minute": 240,
    "patience_seconds": 6,
    "lease_seconds": 4,
}
"""Google's minutes in seconds: windows, pace and patience are settings."""
SECOND = "us-central1"
READERS_A_SECOND = 20.0
QUESTIONS = (
    ("apples", "How cold should apples be stored?", "/docs/apples/picking"),
    ("bramley", "When do I pick a Bramley?", "/docs/apples/picking"),
    ("pears", "How many days do Conference pears ripen?", "/docs/pears"),
    ("gate", "How are pears sold?", "/docs/pears"),
    ("hives", "Where should the entrance of a hive point?", "/docs/bees"),
    ("oven", "Which pears does the orchard sell from August on?", "/docs/intro"),
    ("visa", "Which visa do I need for a trip to Japan?", ""),
    ("tyres", "How do I change a bicycle's tyre?", ""),
)


@dataclass
class Built:
    """An image that was built from a commit: its tree, its digest, its commit."""

    commit: str
    tree: Path
    image: str


@dataclass
class Ran:
    """A command that ended: its exit code, what it printed, how long it took."""

    code: int
    out: str
    err: str
    seconds: float

    def json(self) -> Any:
        return json.loads(self.out.splitlines()[-1])


@dataclass
class Place:
    """``ready`` are the settings of the stack; ``folder`` holds trees, bucket and gcloud's files. ``edge`` is
    the section of the platform: see :meth:`second_region`; ``golden`` where golden questions are, by default
    in the folder.
    """

    run: LocalCloudRun
    gemini: FakeGemini
    ready: Settings
    folder: Path
    canary: dict[str, Any] = field(default_factory=lambda: dict(CANARY))
    edge: dict[str, Any] = field(default_factory=dict)
    golden: str = ""
    _commits: Iterator[int] = field(default_factory=lambda: iter(range(1, 10_000)))

    # ------------------------------------------------------------ images

    def build(self, variant: Variant = AS_IT_IS, *, commit: str = "") -> Built:
        """Build an image of the working tree's code, with the variant's changes, from a commit of its own."""
        commit = commit or f"{next(self._commits):07x}".rjust(7, "c") + "0" * 33
        target = self.folder / "images" / f"{commit[:7]}-{len(list((self.folder / 'images').glob('*')))}"
        tree = build(ROOT, target, {**variant.files(ROOT), "config/staging.yaml": self._config(variant)})
        return Built(commit, tree, self.run.images.push(tree))

    def _config(self, variant: Variant) -> str:
        """The repository's own file, led to this stack."""
        config = yaml.safe_load((ROOT / "config" / "staging.yaml").read_text(encoding="utf-8"))
        config |= {
            "storage_endpoint": self.ready.storage_endpoint,
            "qdrant_url": self.ready.qdrant_url,
            "gemini_base_url": self.gemini.base_url,
            "embedder": "none",
            "golden_questions": self.golden or str(self.folder / "golden"),
            "rate_limit_requests": 100_000,
            "spend_cap_usd_day": 0,
            "spend_cap_usd_month": 0,
            "cloud_run_endpoint": self.run.endpoint,
        }
        config["platform"] |= {"canary": self.canary, "edge": self.edge}
        variant.configure(config)
        return yaml.safe_dump(config)

    @contextmanager
    def second_region(self) -> Iterator[None]:
        """Chat in two regions behind a load balancer, as Terraform makes it, as long as the context lasts."""
        store = self.run.stores[SECOND]
        store.create("lectern-chat", _first_template(self.run, self.folder), public=True)
        self.edge = {"enabled": True, "second_region": SECOND, "domains": ["docs.example.com"]}
        try:
            yield
        finally:
            self.edge = {}
            store.services.clear()

    # ------------------------------------------------------------ commands

    def environment(self, built: Built) -> dict[str, str]:
        """What a build's step has."""
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "PYTHONPATH": str(built.tree),
            "LECTERN_ENV": "staging",
            "DATABASE_URL": self.ready.database_url,
            "LECTERN_HOME": str(self.folder / "home"),
        }

    def start(self, built: Built, *words: str) -> subprocess.Popen[str]:
        """A command of the code that was built, as a build's step runs it."""
        return subprocess.Popen(
            [sys.executable, "-m", "shared.cli.main", *words],
            cwd=built.tree,
            env=self.environment(built),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def lectern(self, built: Built, *words: str, seconds: float = 180) -> Ran:
        """Run a command to its end."""
        started = time.monotonic()
        process = self.start(built, *words)
        out, err = process.communicate(timeout=seconds)
        return Ran(process.returncode, out, err, time.monotonic() - started)

    def release(self, built: Built) -> list[Ran]:
        """The steps of a build, one after the other, until one fails."""
        done = []
        for words in (
            ("migrate",),
            ("release", "deploy", "--commit", built.commit, "--image", built.image),
            ("release", "smoke", built.commit),
            ("release", "canary", built.commit),
            ("release", "finish", built.commit),
        ):
            done.append(self.lectern(built, *words))
            if done[-1].code:
                break
        return done

    def gcloud(self, line: str) -> Ran:
        """A line of the handbook, run by the real gcloud against this Cloud Run."""
        own = {
            **self.gcloud_settings(),
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "CLOUDSDK_RUN_REGION": self.run.region,
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN": "http://run.fake.test/",
            "CLOUDSDK_PROXY_TYPE": "http",
            "CLOUDSDK_PROXY_ADDRESS": "127.0.0.1",
            "CLOUDSDK_PROXY_PORT": self.run.endpoint.rpartition(":")[2],
        }
        assert shutil.which("gcloud"), "gcloud is missing: https://cloud.google.com/sdk/docs/install"
        started = time.monotonic()
        done = subprocess.run(
            line,
            shell=True,
            env=own,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            cwd=self.folder,
        )
        return Ran(done.returncode, done.stdout, done.stderr, time.monotonic() - started)

    def gcloud_settings(self) -> dict[str, str]:
        """What leads gcloud to this bucket, without an account."""
        return {
            "CLOUDSDK_CONFIG": str(self.folder / "gcloud"),
            "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
            "CLOUDSDK_CORE_PROJECT": self.run.project,
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{self.ready.storage_endpoint}/storage/v1/",
        }

    # ------------------------------------------------------------ looking

    def status(self, built: Built) -> dict[str, Any]:
        done = self.lectern(built, "release", "status", "--json")
        assert done.code == 0, done.err + done.out
        found: dict[str, Any] = done.json()
        return found

    def serving(self) -> dict[str, dict[str, int]]:
        """Service -> revision -> percent, as it is in force, in both regions."""
        found: dict[str, dict[str, int]] = {}
        for region, store in self.run.stores.items():
            for name, service in store.services.items():
                key = name if region == self.run.region else f"{name}{AWAY}{region}"
                found[key] = {one["revision"]: one["percent"] for one in service.routed if one.get("percent")}
        return found

    def one_set(self) -> str:
        """The release that every service serves to everybody; empty when they differ."""
        releases = set()
        for name, serving in self.serving().items():
            if list(serving.values()) != [100]:
                return ""
            releases.add(next(iter(serving)).removeprefix(f"{located(name)[0]}-"))
        return releases.pop() if len(releases) == 1 else ""

    def sql(self, text: str) -> Any:
        soon = Deadline.after(20)
        wire = Wire(parse(self.ready.database_url), soon)
        try:
            return wire.script(text, soon, "look")
        finally:
            wire.close()


@contextmanager
def place(folder: Path, **run: Any) -> Iterator[Place]:
    """The whole place, with services as Terraform makes them: on Google's sample, before any release."""
    with ExitStack() as parts:
        gemini = parts.enter_context(FakeGemini(KEY))
        gcs = parts.enter_context(FakeGcs(BUCKET))
        own = settings.load(
            {},
            home=str(folder / "home"),
            embedder="none",
            storage_bucket=f"gs://{BUCKET}",
            storage_endpoint=gcs.endpoint,
        )
        ready = parts.enter_context(services(own)).settings
        ingest.run(ready, write_site(folder / "site"), "/docs")
        write_golden(folder / "golden")
        secrets = {
            ("lectern-database-url", "1"): ready.database_url,
            ("lectern-qdrant-api-key", "1"): "",
            ("lectern-gemini-api-key", "1"): KEY,
            ("lectern-visitor-secret", "1"): "any long random text of the visitors",
        }
        cloud = parts.enter_context(LocalCloudRun(secrets=secrets, second_region=SECOND, **run))
        made = Place(cloud, gemini, ready, folder)
        (folder / "images").mkdir()
        _as_terraform(cloud, folder)
        yield made


def _first_template(cloud: LocalCloudRun, folder: Path) -> dict[str, Any]:
    """Google's sample."""
    hello = folder / "hello"
    (hello / "functions").mkdir(parents=True, exist_ok=True)
    (hello / "functions" / "hello.py").write_text(HELLO, encoding="utf-8")
    variables = {"FUNCTION_SOURCE": "functions/hello.py", "FUNCTION_TARGET": "hello"}
    env = [{"name": name, "value": value} for name, value in variables.items()]
    return {"containers": [{"image": cloud.images.push(hello), "env": env}]}


def _as_terraform(cloud: LocalCloudRun, folder: Path) -> None:
    first = _first_template(cloud, folder)
    waiting = [
        cloud.store.create(service_name(name), first, public=name == "chat", wait=False) for name in FUNCTIONS
    ]
    for operation in waiting:
        assert operation.done.wait(60)
    for name in JOBS:
        parent = f"projects/{cloud.project}/locations/{cloud.region}"
        cloud.jobs.add(job_name(name), ["true"], parent=parent)


def write_golden(folder: Path) -> None:
    """Golden questions about the site that stacks of tests hold."""
    folder.mkdir()
    queries = [
        {"id": name, "text": text, "type": "question" if url else "unanswerable"}
        for name, text, url in QUESTIONS
    ]
    (folder / "queries.jsonl").write_text(
        "".join(json.dumps(one) + "\n" for one in queries), encoding="utf-8"
    )
    judged = "".join(f"{name}\t{url}\t1\n" for name, _, url in QUESTIONS if url)
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged, encoding="utf-8")


@dataclass(frozen=True)
class Read:
    """One reader's request: when it was sent, and its status (0: no answer)."""

    at: float
    status: int
    cited: bool


class Readers:
    """Ask chat at a steady rate as long as the context lasts; a reader of its own for each question."""

    def __init__(self, url: str, rate: float = READERS_A_SECOND) -> None:
        self._url = url
        self._rate = rate
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._client = httpx.Client(timeout=30, trust_env=False, limits=httpx.Limits(max_connections=64))
        self.reads: list[Read] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._clock = threading.Thread(target=self._tick, daemon=True)
        self._clock.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._clock.join(5)
        for thread in self._threads:
            thread.join(35)
        self._client.close()

    def failed(self) -> int:
        """Requests without an answer, or with an error of the server's."""
        with self._lock:
            return sum(one.status == 0 or one.status >= 500 for one in self.reads)

    def uncited(self) -> int:
        """Answers that cite nothing where there is something to cite."""
        with self._lock:
            return sum(one.status == 200 and not one.cited for one in self.reads)

    def _tick(self) -> None:
        due, number = time.monotonic(), 0
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due += 1 / self._rate
            number += 1
            thread = threading.Thread(target=self._read, args=(QUESTIONS[number % 6][1],), daemon=True)
            thread.start()
            self._threads = [one for one in self._threads if one.is_alive()] + [thread]

    def _read(self, question: str) -> None:
        at, status, cited = time.time(), 0, True
        try:
            answer = self._client.post(f"{self._url}/chat", json={"question": question})
            status = answer.status_code
            cited = status != 200 or bool(answer.json().get("citations"))
        except (httpx.HTTPError, ValueError):
            status = status if status >= 500 else 0
        with self._lock:
            self.reads.append(Read(at, status, cited))


def kill(process: subprocess.Popen[str]) -> None:
    """End a build as a machine that goes away does."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)
