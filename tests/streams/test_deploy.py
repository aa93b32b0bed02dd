"""What is deployed names only things that exist: settings, commands, stages, metrics, files."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from streams.cli import STAGES, parser
from streams.ops.metrics import Metrics
from streams.settings import Settings, variables

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
RULES = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())
DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboards/headrace.json").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if service.get("image") == "headrace"}


def filled(text: str) -> str:
    """A compose value with its ${NAME:-default} replaced, and a required one by a key."""
    return re.sub(r"\$\{\w+:(-|\?)([^}]*)\}", lambda m: m[2] if m[1] == "-" else "k" * 32, text)


def stages_of(service: dict) -> tuple[str, ...]:
    _, *arguments = service["command"]
    given = parser().parse_args(arguments)
    return tuple(given.stages.split(",")) if given.command == "worker" else ()


@pytest.mark.parametrize("name", OURS)
def test_every_service_runs_a_command_that_the_program_has(name):
    program, *arguments = OURS[name]["command"]

    assert program == "headrace"
    assert parser().parse_args(arguments).command in ("worker", "writer", "topics", "api")


@pytest.mark.parametrize("name", OURS)
def test_every_service_is_given_settings_that_the_program_reads(name):
    environ = {key: filled(value) for key, value in OURS[name]["environment"].items()}

    settings = Settings.read(environ)

    settings.require("kafka", "redis")
    assert settings.secret_key


def test_every_stage_is_served_once():
    served = [stage for service in OURS.values() for stage in stages_of(service)]

    assert sorted(served) == sorted(STAGES)


def test_every_service_waits_for_and_mounts_what_exists():
    for service in COMPOSE["services"].values():
        assert set(service.get("depends_on", {})) <= set(COMPOSE["services"])
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert (ROOT / source).exists() if source.startswith("./") else source in COMPOSE["volumes"]


def test_no_port_is_open_to_the_network_and_no_tag_floats():
    for service in COMPOSE["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert "latest" not in service["image"]
        assert ":" in service["image"] or service["image"] == "headrace"


def test_redis_keeps_what_it_is_given():
    command = COMPOSE["services"]["redis"]["command"]

    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"


def test_the_image_sets_variables_that_the_program_reads_and_is_not_root():
    dockerfile = (ROOT / "Dockerfile").read_text()

    assert set(re.findall(r"HEADRACE_\w+", dockerfile)) <= set(variables())
    assert re.findall(r"^USER (\w+)", dockerfile, re.MULTILINE)[-1] != "root"
    assert "--require-hashes requirements.txt" in dockerfile


def test_the_image_holds_what_it_copies():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    for source in " ".join(copied).split():
        assert f"!{source}" in ignored


def test_the_same_uv_installs_everywhere():
    made = re.search(r"UV_VERSION := (\S+)", (ROOT / "Makefile").read_text())
    built = re.search(r"uv==(\S+)", (ROOT / "Dockerfile").read_text())

    assert made and built and made[1] == built[1]


# Watching


def expressions() -> list[str]:
    alerts = [rule["expr"] for group in RULES["groups"] for rule in group["rules"]]
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
    return alerts + panels


@pytest.mark.parametrize("expression", expressions())
def test_every_query_asks_for_metrics_that_exist(expression):
    asked = set(re.findall(r"\b(?:headrace|process)_\w+", expression))

    assert asked
    assert asked <= Metrics().names()


@pytest.mark.parametrize("expression", expressions())
def test_every_query_groups_by_labels_that_its_metrics_have(expression):
    known = {"job", "instance", "le"} | {
        label for metric in vars(Metrics()).values() for label in getattr(metric, "_labelnames", ())
    }
    groups = re.findall(r"\b(?:by|ignoring|on) \(([^)]*)\)", expression)

    assert {label.strip() for group in groups for label in group.split(",")} <= known
    assert expression.count("(") == expression.count(")")


def test_every_alert_says_what_happened_and_what_to_do():
    for rule in (rule for group in RULES["groups"] for rule in group["rules"]):
        assert rule["alert"].startswith("Headrace")
        assert rule["labels"]["severity"] in ("warning", "page")
        assert rule["annotations"]["summary"] and rule["annotations"]["action"]


def test_alerts_name_settings_that_exist():
    assert set(re.findall(r"HEADRACE_\w+", (ROOT / "deploy/prometheus/rules.yml").read_text())) <= set(variables())


def test_prometheus_asks_every_service_that_serves_metrics():
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    (found,) = job["dns_sd_configs"]

    assert set(found["names"]) == set(OURS) - {"topics"}
    assert str(found["port"]) == COMPOSE["x-worker"]["environment"]["HEADRACE_WEB_PORT"]
    assert all((ROOT / "deploy/prometheus" / name).exists() for name in config["rule_files"])


def test_the_dashboard_is_one_that_grafana_can_load():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]

    assert DASHBOARD["uid"] == "headrace"
    assert len(ids) == len(set(ids))
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in DASHBOARD["panels"])


# Making


def test_make_says_which_python_it_needs(tmp_path):
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    for name in ("requirements.txt", "pyproject.toml"):
        (tmp_path / name).touch()
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)

    run = subprocess.run(["make", f"PYTHON={old}", "demo"], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert run.returncode != 0
    assert "Headrace needs Python 3.11 or newer" in run.stderr


@pytest.mark.parametrize("path", ["Makefile", ".ci/run", "Dockerfile", "docker-compose.yml"])
def test_no_deployed_file_names_a_machine_or_a_registry(path):
    text = (ROOT / path).read_text()

    assert not re.search(r"index-url|extra-index|/home/(?!headrace)|/work/|/root/", text)


def test_ci_is_a_program():
    assert os.access(ROOT / ".ci/run", os.X_OK)
    subprocess.run(["bash", "-n", str(ROOT / ".ci/run")], check=True)
