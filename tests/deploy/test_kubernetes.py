"""deploy/kubernetes: valid for Kubernetes, and one part fits the other.

Each document is held against the schema of its kind in its strict form, of the oldest Kubernetes
that has all we use and of the newest that the validator knows. What an API server checks beyond the
schemas, and what a cluster does with it, is not tried here.
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml

from node.observe.catalog import METRICS
from router.errors import InvalidSettings
from router.settings import Settings
from tests.support.dockerfile import one, stages
from tests.support.documents import ROOT
from tests.support.environments import settings_of

FOLDER: Final = ROOT / "deploy/kubernetes"
DOCUMENTS: Final[dict[tuple[str, str], Any]] = {
    (each["kind"], each["metadata"]["name"]): each
    for file in sorted(FOLDER.glob("*.yaml"))
    if file.name != "kustomization.yaml"
    for each in yaml.safe_load_all(file.read_text())
}
KUSTOMIZATION: Final = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
OLDEST: Final = "1.30"  # where preStop may sleep without a program
NEWEST: Final = kubernetes_validate.latest_version()
DEPLOYMENT: Final = DOCUMENTS["Deployment", "switchboard"]["spec"]
POD: Final = DEPLOYMENT["template"]["spec"]
(CONTAINER,) = POD["containers"]
LABELS: Final = DEPLOYMENT["template"]["metadata"]["labels"]
POLICY: Final = DOCUMENTS["NetworkPolicy", "switchboard"]["spec"]
PORTS: Final = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
OF_POD: Final = {"metadata.name": "switchboard-7c9d8b7f6b-x2x4z", "status.podIP": "10.1.2.3"}


def environment(**secrets: str) -> dict[str, str]:
    """Return the variables of the container, the secrets with these values."""
    found = {
        each["name"]: OF_POD[each["valueFrom"]["fieldRef"]["fieldPath"]]
        for each in CONTAINER["env"]
    }
    for source in CONTAINER["envFrom"]:
        found |= DOCUMENTS["Secret", source["secretRef"]["name"]]["stringData"]
    return found | secrets


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """What a node of it runs with, once the secrets were replaced."""
    return settings_of(environment(SWITCHBOARD_AUTH__SECRET="x" * 44), config(tmp_path))


def config(folder: Path) -> Path:
    """Return the file of the ConfigMap, as it is mounted."""
    ((name, text),) = DOCUMENTS["ConfigMap", "switchboard"]["data"].items()
    file = folder / str(name)
    file.write_text(text)
    return file


class TestSchemas:
    @pytest.mark.parametrize("version", [OLDEST, NEWEST])
    @pytest.mark.parametrize("document", DOCUMENTS.values(), ids=[" ".join(k) for k in DOCUMENTS])
    def test_each_is_what_its_kind_may_be(self, document: Any, version: str) -> None:
        kubernetes_validate.validate(document, version, strict=True)

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            (("spec", "template", "spec", "terminationGracePeriodSeconds"), "long"),
            (("spec", "template", "spec", "terminationGraceSeconds"), 60),
            (("spec", "strategy"), "one by one"),
        ],
    )
    def test_a_wrong_one_would_be_noticed(self, path: tuple[str, ...], value: object) -> None:
        wrong = copy.deepcopy(DOCUMENTS["Deployment", "switchboard"])
        inner = wrong
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(wrong, NEWEST, strict=True)

    def test_the_kustomization_names_every_file_and_no_other(self) -> None:
        files = {file.name for file in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
        assert sorted(KUSTOMIZATION["resources"]) == sorted(files)
        assert ("Namespace", KUSTOMIZATION["namespace"]) in DOCUMENTS
        assert [image["name"] for image in KUSTOMIZATION["images"]] == [CONTAINER["image"]]


class TestSettings:
    def test_a_node_starts_with_them(self, settings: Settings) -> None:
        assert settings.auth.mode == "jwt"
        assert settings.node.name == OF_POD["metadata.name"]
        assert settings.node.host == settings.api.host == OF_POD["status.podIP"]

    def test_with_the_secrets_as_they_stand_there_none_starts(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidSettings, match="has 10 bytes and needs"):
            settings_of(environment(), config(tmp_path))

    def test_the_file_is_mounted_where_the_image_looks_for_it(self) -> None:
        (place,) = (v["mountPath"] for v in CONTAINER["volumeMounts"] if v["name"] == "config")
        assert place == one(stages((ROOT / "Dockerfile").read_text())[-1], "WORKDIR").rest

    def test_the_keys_of_the_api_are_mounted_where_the_settings_look_for_them(
        self, settings: Settings
    ) -> None:
        (place,) = (v["mountPath"] for v in CONTAINER["volumeMounts"] if v["name"] == "api-keys")
        (name,) = DOCUMENTS["Secret", "switchboard-api"]["stringData"]
        assert settings.api.keys_file == f"{place}/{name}"

    def test_each_volume_is_of_what_there_is(self) -> None:
        for volume in POD["volumes"]:
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in DOCUMENTS
            else:
                assert ("Secret", volume["secret"]["secretName"]) in DOCUMENTS
        mounted = {mount["name"] for mount in CONTAINER["volumeMounts"]}
        assert {volume["name"] for volume in POD["volumes"]} == mounted

    def test_services_put_no_variables_beside_ours(self) -> None:
        assert POD["enableServiceLinks"] is False

    def test_the_arguments_are_options_that_there_are(self) -> None:
        assert (
            CONTAINER["args"] == one(stages((ROOT / "Dockerfile").read_text())[-1], "CMD").command
        )


class TestPorts:
    def test_they_are_those_of_the_settings(self, settings: Settings) -> None:
        assert {"users": settings.node.port, "api": settings.api.port} == PORTS

    def test_services_and_policies_name_ports_that_there_are(self) -> None:
        named = [
            port["targetPort"]
            for (kind, _), each in DOCUMENTS.items()
            if kind == "Service"
            for port in each["spec"]["ports"]
        ]
        named += [port["port"] for rule in POLICY["ingress"] for port in rule["ports"]]
        assert set(named) == PORTS.keys()

    @pytest.mark.parametrize(
        ("probe", "path"),
        [
            ("livenessProbe", "/healthz"),
            ("startupProbe", "/healthz"),
            ("readinessProbe", "/readyz"),
        ],
    )
    def test_probes_ask_what_they_mean(self, probe: str, path: str) -> None:
        assert CONTAINER[probe]["httpGet"] == {"path": path, "port": "users"}

    def test_the_start_may_take_as_long_as_the_store_is_waited_for(self) -> None:
        probe = CONTAINER["startupProbe"]
        waits_s = float(CONTAINER["args"][CONTAINER["args"].index("--wait") + 1])
        assert probe["periodSeconds"] * probe["failureThreshold"] > waits_s


class TestLeaving:
    def test_there_is_time_for_the_whole_drain(self, settings: Settings) -> None:
        sleeps_s = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert POD["terminationGracePeriodSeconds"] > sleeps_s + settings.node.drain_s + 3

    def test_balancers_hear_of_it_before_the_drain_begins(self) -> None:
        probe = CONTAINER["readinessProbe"]
        sleeps_s = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert sleeps_s > probe["periodSeconds"] * probe["failureThreshold"]

    def test_nodes_go_one_at_a_time_and_not_before_another_is_there(self) -> None:
        assert DEPLOYMENT["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        budget = DOCUMENTS["PodDisruptionBudget", "switchboard"]["spec"]
        assert budget["maxUnavailable"] == 1
        assert budget["selector"]["matchLabels"].items() <= LABELS.items()


class TestScaling:
    SPEC: Final = DOCUMENTS["HorizontalPodAutoscaler", "switchboard"]["spec"]

    def test_it_goes_by_a_metric_that_nodes_show(self) -> None:
        (metric,) = self.SPEC["metrics"]
        assert metric["pods"]["metric"]["name"] in {each.shown for each in METRICS}

    def test_it_scales_what_there_is(self) -> None:
        target = self.SPEC["scaleTargetRef"]
        assert (target["kind"], target["name"]) in DOCUMENTS
        assert "replicas" not in DEPLOYMENT  # or each apply would undo what it has decided

    def test_the_sessions_of_one_node_fit_on_those_that_stay(self, settings: Settings) -> None:
        (metric,) = self.SPEC["metrics"]
        each = int(metric["pods"]["target"]["averageValue"])
        nodes = self.SPEC["minReplicas"]
        assert each * nodes <= settings.limits.sessions * (nodes - 1)


class TestSafety:
    def test_it_needs_no_right_at_all(self) -> None:
        image = one(stages((ROOT / "Dockerfile").read_text())[-1], "USER").rest
        of_pod, of_container = POD["securityContext"], CONTAINER["securityContext"]
        assert f"{of_pod['runAsUser']}:{of_pod['runAsGroup']}" == image
        assert of_pod["runAsNonRoot"] is True
        assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert of_container["readOnlyRootFilesystem"] is True
        assert of_container["allowPrivilegeEscalation"] is False
        assert of_container["capabilities"] == {"drop": ["ALL"]}
        assert POD["automountServiceAccountToken"] is False

    def test_every_selector_finds_the_pods(self) -> None:
        found = [DEPLOYMENT["selector"]["matchLabels"], POLICY["podSelector"]["matchLabels"]]
        found += [DOCUMENTS["Service", name]["spec"]["selector"] for name in services()]
        found += [
            spread["labelSelector"]["matchLabels"] for spread in POD["topologySpreadConstraints"]
        ]
        assert all(each and each.items() <= LABELS.items() for each in found)

    def test_what_comes_in_and_goes_out_is_named(self) -> None:
        assert sorted(POLICY["policyTypes"]) == ["Egress", "Ingress"]
        for rule in (*POLICY["ingress"], *POLICY["egress"]):
            assert rule["ports"]
            assert all(peer for peer in rule.get("from") or rule["to"])

    def test_nodes_reach_each_other_the_store_and_the_names(self, settings: Settings) -> None:
        out = {
            (port["protocol"], port["port"]) for rule in POLICY["egress"] for port in rule["ports"]
        }
        store = int(settings.redis.url.rpartition(":")[2])
        assert out == {("UDP", 53), ("TCP", 53), ("TCP", store), ("TCP", "users")}
        among = [
            rule
            for rule in POLICY["ingress"]
            if {"podSelector": {"matchLabels": LABELS}} in rule["from"]
        ]
        assert [port["port"] for rule in among for port in rule["ports"]] == ["users"]


def services() -> Iterator[str]:
    return (name for kind, name in DOCUMENTS if kind == "Service")
