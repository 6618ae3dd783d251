"""The stub provider and the attributes that it knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.terraform.generated import Unit
from tests.terraform.mirror import attributes
from tests.terraform.mutations import places
from tests.terraform.refresh import used
from tests.terraform.stub.protocol import MESSAGES, UNKNOWN, dump, load
from tests.terraform.stub.schema import filled, problems, read_schema

JAVASCRIPT = """
class Thing extends cdktn.TerraformResource {
    static tfResourceType = "google_thing";
    // name - computed: false, optional: false, required: true
    get name() { return this.getStringAttribute('name'); }
    // uri - computed: true, optional: false, required: false
    get uri() { return this.getStringAttribute('uri'); }
    // labels - computed: false, optional: true, required: false
    get labels() { return this.getStringMapAttribute('labels'); }
    // spec - computed: false, optional: true, required: false
    _spec = new ThingSpecOutputReference(this, "spec");
    }
    synthesizeHclAttributes() {
        const attrs = {
            name: {
                value: cdktn.stringToHclTerraform(this._name),
                isBlock: false,
                type: "simple",
                storageClassType: "string",
            },
            spec: {
                value: thingSpecToHclTerraform(this._spec),
                isBlock: true,
                type: "list",
                storageClassType: "ThingSpecList",
            },
        };
    }
}
function thingSpecToHclTerraform(struct) {
    const attrs = {
        mode: {
            value: cdktn.stringToHclTerraform(struct.mode),
            isBlock: false,
            type: "simple",
            storageClassType: "string",
        },
    };
}
class ThingSpecOutputReference extends cdktn.ComplexObject {
    // mode - computed: false, optional: true, required: false
    get mode() { return this.getStringAttribute('mode'); }
}
"""
DECLARATIONS = """
export interface ThingSpec {
    /**
    * How. Possible values: ["FAST", "SLOW"]
    *
    * Docs at Terraform Registry: {@link https://x/thing#mode Thing#mode}
    */
    readonly mode?: string;
}
"""


def test_attributes_are_read_from_generated_code() -> None:
    """A refresh after an update of the provider would lose what it does not recognise, and checks with it."""
    [(kind, name, block)] = Unit(JAVASCRIPT, DECLARATIONS).schemas()
    assert (kind, name) == ("TerraformResource", "google_thing")
    assert block["attributes"] == {
        "name": {"type": "string", "required": True},
        "uri": {"type": "string", "computed": True},
        "labels": {"type": ["map", "string"], "optional": True},
    }
    [(nested, spec)] = block["block_types"].items()
    assert (nested, spec["nesting_mode"], spec["max_items"]) == ("spec", "list", 1)
    mode = {"type": "string", "optional": True, "x_enum": ["FAST", "SLOW"]}
    assert spec["block"]["attributes"] == {"mode": mode}


def test_the_schema_is_cut_down_to_what_is_used() -> None:
    """A type that was added would be unknown to the checks, or one that went would stay in the repository."""
    schema = read_schema()
    held = {("resource", name) for name in schema["resource_schemas"]}
    held |= {("data", name) for name in schema["data_source_schemas"]}
    assert held == used(), "python -m tests.terraform.refresh"


def test_values_go_through_the_protocol_unchanged() -> None:
    """A number would come back as text, or what is not known yet as a value."""
    value = {"a": 1, "b": [1.5, None, True], "c": {"d": "ü"}, "e": UNKNOWN}
    sent = dump(value).SerializeToString()
    assert load(MESSAGES["DynamicValue"].FromString(sent)) == value


BLOCK: dict[str, Any] = {
    "attributes": {
        "name": {"type": "string", "required": True},
        "uri": {"type": "string", "computed": True},
        "value_wo": {"type": "string", "optional": True, "write_only": True},
    },
    "block_types": {
        "spec": {
            "nesting_mode": "list",
            "block": {"attributes": {"mode": {"type": "string", "x_enum": ["FAST"], "optional": True}}},
        }
    },
}


def test_what_the_provider_would_refuse_is_told_with_its_place() -> None:
    """An operator would search a hundred lines for the value that is meant."""
    found = list(problems(BLOCK, {"name": "a", "uri": "b", "spec": [{"mode": "FAST"}, {"mode": "QUICK"}]}))
    assert "decided by the provider" in found[0].summary
    assert "got QUICK" in found[1].summary
    steps = found[1].attribute.steps
    assert [steps[0].attribute_name, steps[1].element_key_int, steps[2].attribute_name] == ["spec", 1, "mode"]


def test_a_write_only_value_is_not_kept() -> None:
    """A secret would lie in the state of a test that claims there is none."""
    made = filled(BLOCK, {"name": "a", "uri": None, "value_wo": "secret", "spec": []}, lambda name, _: name)
    assert made == {"name": "a", "uri": "uri", "value_wo": None, "spec": []}


def test_answers_of_the_api_become_attributes() -> None:
    """What a release changed would be lost on its way into Terraform's view."""
    block = {**BLOCK, "attributes": {**BLOCK["attributes"], "maxCount": {"type": "number"}}}
    found = attributes(block, {"name": "a", "spec": {"mode": "FAST"}})
    assert found["spec"] == [{"mode": "FAST"}]
    assert found["uri"] is None


def test_names_of_the_providers_are_found(tmp_path: Path) -> None:
    """The check of misspelt names would leave some out and report success."""
    (tmp_path / "main.tf").write_text(
        """resource "google_thing" "a" {
  for_each = toset(["x"])

  name   = "a { b"
  labels = { not_one = 1 }

  spec {
    mode = jsonencode({
      neither = "this"
    })
  }

  dynamic "rule" {
    for_each = [1]
    content {
      action = rule.value
    }
  }

  lifecycle {
    ignore_changes = [spec]
  }
}

locals {
  nor = 1
}
"""
    )
    assert [place.name for place in places(tmp_path)] == ["name", "labels", "spec", "mode", "rule", "action"]
    assert json.dumps([place.line for place in places(tmp_path)]) == "[4, 5, 7, 8, 13, 16]"


@pytest.mark.parametrize("name", ["name", "mode"])
def test_a_name_is_misspelt_once(tmp_path: Path, name: str) -> None:
    """A rename that changes nothing would count as noticed by accident."""
    (tmp_path / "main.tf").write_text('resource "google_thing" "a" {\n  name = "name"\n  mode = 1\n}\n')
    [place] = [one for one in places(tmp_path) if one.name == name]
    text = place.renamed(place.file.read_text())
    assert text.count(f"{name}x") == 1
