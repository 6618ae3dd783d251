"""Services in memory: the port's contract without HTTP, for tests of what is decided, thousands of times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from shared.errors import Missing, PreconditionFailed, Rejected
from shared.ports import Change, Revision, Service, Target, Template
from shared.ports.services import located
from shared.resilience.deadline import Deadline


@dataclass
class MemoryServices:
    """Implements ``Services`` and ``JobTemplates``. ``revisions`` are by service and name, since each region
    has its own; ``broken`` images do not come up; ``before`` is called with the name of each service that is
    about to be changed, ``after`` when it was, and both may raise; ``log`` holds what was changed.
    """

    services: dict[str, Service] = field(default_factory=dict)
    revisions: dict[tuple[str, str], Revision] = field(default_factory=dict)
    jobs: dict[str, Template] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    before: Callable[[str], None] = lambda _name: None
    after: Callable[[str], None] = lambda _name: None
    log: list[tuple[str, Change]] = field(default_factory=list)
    _number: int = 0

    def add(self, name: str) -> None:
        """A service as Terraform makes it: one revision, which follows the newest."""
        first = f"{located(name)[0]}-00001-abc"
        self.revisions[name, first] = Revision(first, "hello", ready=True)
        traffic = (Target("", 100),)
        self.services[name] = Service(name, f"http://{name}", self._etag(), traffic, first, first)

    def get(self, name: str, deadline: Deadline) -> Service:  # noqa: ARG002 - the port's signature
        if name not in self.services:
            raise Missing("cloud-run", f"read {name}", "there is no such service")
        return self.services[name]

    def change(self, service: Service, change: Change, deadline: Deadline) -> Service:
        self.before(service.name)
        now = self.get(service.name, deadline)
        if now.etag != service.etag:
            raise PreconditionFailed("cloud-run", f"change {service.name}", "it changed since it was read")
        traffic = now.traffic if change.traffic is None else self._checked(service.name, change)
        annotations = {**now.annotations, **(change.annotations or {})}
        made = replace(
            now,
            etag=self._etag(),
            traffic=traffic,
            annotations={key: text for key, text in annotations.items() if text},
        )
        self.log.append((service.name, change))
        if change.template is None:
            self.services[service.name] = made
            self.after(service.name)
            return made
        return self._deployed(made, change.template)

    def revision(self, service: str, name: str, deadline: Deadline) -> Revision:  # noqa: ARG002
        if (service, name) not in self.revisions:
            raise Missing("cloud-run", f"read {name}", "there is no such revision")
        return self.revisions[service, name]

    def deploy(self, job: str, template: Template, deadline: Deadline) -> None:  # noqa: ARG002
        self.before(job)
        self.jobs[job] = template

    def _checked(self, name: str, change: Change) -> tuple[Target, ...]:
        """The traffic with addresses for its tags; refused as the service refuses it."""
        coming = change.template.revision if change.template else ""
        targets = change.traffic or ()
        if sum(one.percent for one in targets) != 100:
            raise Rejected("cloud-run", f"change {name}", "traffic must sum to 100")
        for one in targets:
            if one.revision and one.revision != coming and (name, one.revision) not in self.revisions:
                raise Rejected("cloud-run", f"change {name}", f"revision {one.revision} does not exist")
        return tuple(replace(one, url=f"http://{one.tag}---{name}" if one.tag else "") for one in targets)

    def _deployed(self, made: Service, template: Template) -> Service:
        ready = template.image not in self.broken
        words = "" if ready else f"Revision '{template.revision}' is not ready"
        plain = dict(template.environment)
        made_of = Revision(template.revision, template.image, ready, words, plain)
        if self.revisions.setdefault((made.name, template.revision), made_of) != made_of:
            words = f"revision {template.revision} with different configuration already exists"
            raise PreconditionFailed("cloud-run", f"change {made.name}", words)
        newest = template.revision if ready else made.newest_ready
        made = replace(
            made,
            newest=template.revision,
            newest_ready=newest,
            settled=ready,
            message=words,
            etag=self._etag(),
        )
        self.services[made.name] = made
        if not ready:
            raise Rejected("cloud-run", f"change {made.name}", words)
        return made

    def _etag(self) -> str:
        self._number += 1
        return str(self._number)
