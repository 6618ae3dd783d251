"""The provider itself: plans leave open what the cloud decides, apply invents it, a cloud remembers it."""

from __future__ import annotations

import copy
import hashlib
import json
from functools import cached_property
from typing import Any

from tests.terraform.stub.protocol import MESSAGES, UNKNOWN, dump, load
from tests.terraform.stub.schema import filled, problems, schema_message

NUMBER = "123456789012"
_PROVIDER_META = {"block": {"attributes": {"module_name": {"type": "string", "optional": True}}}}


class Cloud:
    """What was applied, by type and id. A test changes it as somebody else than Terraform would."""

    def __init__(self) -> None:
        self.resources: dict[tuple[str, str], dict[str, Any]] = {}

    def find(self, kind: str, name: str) -> dict[str, Any]:
        """The one resource of a kind with this name."""
        [found] = [
            state for (its, _), state in self.resources.items() if its == kind and state.get("name") == name
        ]
        return found

    def keep(self, kind: str, state: dict[str, Any]) -> None:
        self.resources[kind, str(state["id"])] = copy.deepcopy(state)

    def read(self, kind: str, state: dict[str, Any]) -> dict[str, Any]:
        """As it is now; what somebody else applied with another state file is taken over as it was."""
        return self.resources.get((kind, str(state.get("id"))), state)


class Provider:
    """Answers Terraform's calls. Method names are those of the protocol."""

    def __init__(self, schema: dict[str, Any], cloud: Cloud) -> None:
        self._schema = schema
        self._cloud = cloud
        self._settings: dict[str, str] = {}

    def GetSchema(self, _request: Any) -> Any:  # noqa: N802 - the protocol's name
        return self._known

    @cached_property
    def _known(self) -> Any:
        def named(kind: str) -> list[Any]:
            return [
                MESSAGES["NamedSchema"](key=name, value=schema_message(one))
                for name, one in self._schema[kind].items()
            ]

        return MESSAGES["GetSchemaResponse"](
            provider=schema_message(self._schema["provider"]),
            resource_schemas=named("resource_schemas"),
            data_source_schemas=named("data_source_schemas"),
            provider_meta=schema_message(_PROVIDER_META),
        )

    def PrepareProviderConfig(self, request: Any) -> Any:  # noqa: N802
        wrong = list(problems(self._schema["provider"]["block"], load(request.config)))
        return MESSAGES["PrepareProviderConfigResponse"](prepared_config=request.config, diagnostics=wrong)

    def ValidateResourceTypeConfig(self, request: Any) -> Any:  # noqa: N802
        wrong = list(problems(self._block(request.type_name), load(request.config)))
        return MESSAGES["ValidateResourceTypeConfigResponse"](diagnostics=wrong)

    def ValidateDataSourceConfig(self, request: Any) -> Any:  # noqa: N802
        wrong = list(problems(self._source(request.type_name), load(request.config)))
        return MESSAGES["ValidateDataSourceConfigResponse"](diagnostics=wrong)

    def Configure(self, request: Any) -> Any:  # noqa: N802
        given = load(request.config) or {}
        self._settings = {name: value for name, value in given.items() if isinstance(value, str)}
        return MESSAGES["ConfigureResponse"]()

    def UpgradeResourceState(self, request: Any) -> Any:  # noqa: N802
        state = json.loads(request.raw_state.json)
        return MESSAGES["UpgradeResourceStateResponse"](upgraded_state=dump(state))

    def ReadResource(self, request: Any) -> Any:  # noqa: N802
        state = self._cloud.read(request.type_name, load(request.current_state))
        return MESSAGES["ReadResourceResponse"](new_state=dump(state))

    def PlanResourceChange(self, request: Any) -> Any:  # noqa: N802
        prior, new = load(request.prior_state), load(request.proposed_new_state)
        if new is not None and new != prior:
            project = self._settings.get("project") if prior is None else None
            new = filled(
                self._block(request.type_name),
                new,
                lambda name, _: project if name == "project" and project else UNKNOWN,
            )
        return MESSAGES["PlanResourceChangeResponse"](planned_state=dump(new), legacy_type_system=True)

    def ApplyResourceChange(self, request: Any) -> Any:  # noqa: N802
        new = load(request.planned_state)
        if new is not None:
            new = filled(self._block(request.type_name), new, self._maker(request.type_name, new))
            self._cloud.keep(request.type_name, new)
        return MESSAGES["ApplyResourceChangeResponse"](new_state=dump(new), legacy_type_system=True)

    def ReadDataSource(self, request: Any) -> Any:  # noqa: N802
        given = load(request.config)
        found = filled(self._source(request.type_name), given, self._maker(request.type_name, given))
        return MESSAGES["ReadDataSourceResponse"](state=dump(found))

    def Stop(self, _request: Any) -> Any:  # noqa: N802
        return MESSAGES["StopResponse"]()

    def _block(self, kind: str) -> dict[str, Any]:
        return dict(self._schema["resource_schemas"][kind]["block"])

    def _source(self, kind: str) -> dict[str, Any]:
        return dict(self._schema["data_source_schemas"][kind]["block"])

    def _maker(self, kind: str, value: dict[str, Any]) -> Any:
        """Invents what the cloud decides: the same for the same resource, and of its type."""
        texts = {name: given for name, given in value.items() if isinstance(given, str)}
        named = ("name", "account_id", "secret_id", "repository_id", "slo_id", "service_id", "role_id")
        name = next((texts[key] for key in named if texts.get(key)), "")
        project = texts.get("project") or texts.get("project_id") or self._settings.get("project", "")
        place = texts.get("location") or texts.get("region") or "global"
        # Two grants of one role to one account are two resources when their conditions differ.
        known = json.dumps([texts, value.get("condition")], sort_keys=True, default=str)
        digest = hashlib.sha256(f"{kind}/{project}/{known}".encode()).hexdigest()[:12]
        name = name or f"n{digest}"
        account = f"{name}@{project}.iam.gserviceaccount.com"
        made = {
            "project": project,
            "region": place,
            "location": place,
            "email": account,
            "email_address": account,
            "member": f"serviceAccount:{account}",
            "uri": f"https://{name}-{digest[:6]}.{place}.run.app",
            "id": f"projects/{project}/locations/{place}/{kind.removeprefix('google_')}/{name}-{digest}",
            "name": f"projects/{project}/locations/{place}/{kind.removeprefix('google_')}/{name}",
        }

        def make(attribute: str, type_: Any) -> Any:
            if attribute == "number":
                return NUMBER if type_ == "string" else int(NUMBER)
            if type_ == "number":
                return int(digest[:6], 16)
            if type_ == "bool":
                return False
            if isinstance(type_, list):
                return {} if type_[0] in {"map", "object"} else []
            return made.get(attribute, f"made-{attribute}-{digest}")

        return make
