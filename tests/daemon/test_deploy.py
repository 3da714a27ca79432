"""What starts a party on a machine, in a container, in Kubernetes: right by itself, and in agreement with the rest."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

import jmpc
from jmpc.cluster import Roster
from jmpc.command.main import run
from jmpc.daemon import settings
from jmpc.daemon.settings import METRICS, Settings, read_settings
from jmpc.sizes import size_of

from .charts import rendered

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "docs" / "deploy"
CHART = DEPLOY / "chart"
USER, PORT, STATE = "10001", 7001, "/var/lib/jmpc"
USUAL = Settings(
    Path(STATE, "party", "party.toml"), "party/0", *[Path(STATE)] * 6, False, ("0.0.0.0", PORT),
)  # fmt: skip


class Unit(configparser.RawConfigParser):
    """A unit of systemd, whose keys are of both cases and stand there more than once."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def unit() -> dict[str, str]:
    parser = Unit(strict=True)
    parser.read(DEPLOY / "jmpc-party.service")
    return {key: value for section in parser.sections() for key, value in parser.items(section)}


def test_the_unit_starts_the_party_by_a_command_that_exists(capsys: pytest.CaptureFixture[str]) -> None:
    program, *arguments = shlex.split(unit()["ExecStart"])
    assert Path(program).name == "jmpc"
    assert arguments[:2] == ["party", "run"]
    assert run([*arguments[:2], "--help"]) == 0
    assert arguments[2] in capsys.readouterr().out
    assert arguments[3:] == [str(USUAL.path.parent)]


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    """With programs and users that are there; the rest is as it ships."""
    text = (DEPLOY / "jmpc-party.service").read_text()
    program = shlex.split(unit()["ExecStart"])[0]
    text = text.replace(program, "/bin/true").replace("=jmpc\nGroup=jmpc", "=root\nGroup=root")
    copy = tmp_path / "jmpc-party.service"
    copy.write_text(text)
    tool = shutil.which("systemd-analyze")
    if tool is None:  # a machine without systemd: what it would be given is at least a unit
        assert unit()["Type"] == "notify"
        return
    done = subprocess.run([tool, "verify", "--man=no", str(copy)], capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (0, "")
    version = re.search(r"systemd (\d+)", subprocess.run([tool, "--version"], capture_output=True, text=True).stdout)
    if version and int(version[1]) >= 250:
        command = [tool, "security", "--offline=yes", "--threshold=25", "--no-pager", str(copy)]
        assert subprocess.run(command, capture_output=True).returncode == 0


def test_the_unit_confines_what_the_process_cannot_confine_itself() -> None:
    found = unit()
    assert found["User"] not in ("", "root")
    assert (found["LimitCORE"], found["MemorySwapMax"], found["NoNewPrivileges"]) == ("0", "0", "yes")
    assert (found["ProtectSystem"], found["CapabilityBoundingSet"], found["UMask"]) == ("strict", "", "0077")
    assert "MemoryDenyWriteExecute" not in found  # JAX compiles as it runs
    assert found["StateDirectory"] == Path(STATE).name
    assert set(found["RestartPreventExitStatus"].split()) == {"1", "2"}
    assert found["ExecReload"].endswith("-HUP $MAINPID")


def test_each_gives_the_party_longer_to_stop_than_it_takes() -> None:
    grace = USUAL.grace_s
    assert float(unit()["TimeoutStopSec"]) > grace
    (party,) = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"].values()
    assert float(party["stop_grace_period"].removesuffix("s")) > grace
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values["graceSeconds"] == grace
    pod = chart()["StatefulSet"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > grace


def container() -> dict[str, list[str]]:
    """The instructions of the Containerfile's last stage."""
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Containerfile").read_text())
    found: dict[str, list[str]] = defaultdict(list)
    for line in text.splitlines():
        name, _, rest = line.partition(" ")
        if name == "FROM":
            found.clear()
        if name and name != "#":
            found[name].append(rest)
    return found


def test_the_image_runs_a_party_as_nobody_special() -> None:
    found = container()
    assert found["USER"] == [f"{USER}:{USER}"]
    assert f"--uid {USER}" in found["RUN"][0]
    assert found["WORKDIR"] == [STATE]
    assert found["EXPOSE"] == [f"{PORT} {METRICS[1]}"]
    assert found["STOPSIGNAL"] == ["SIGTERM"]
    assert "--chown" not in found["COPY"][0]  # its code is root's
    command = yaml.safe_load(found["ENTRYPOINT"][0]) + yaml.safe_load(found["CMD"][0])
    assert command == ["jmpc", "party", "run", "--config", str(USUAL.path.parent)]
    assert f"http://127.0.0.1:{METRICS[1]}/healthz" in found["HEALTHCHECK"][0]


def test_the_image_is_made_of_what_the_package_needs() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    copied = set(re.findall(r"(?<=COPY )[\w. ]+(?= /src)", text))
    named = {word for line in copied for word in line.split()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert named == {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"], *wheel}
    assert all((ROOT / name).exists() for name in named)
    lowest, last = re.findall(r"3\.(\d+)", project["project"]["requires-python"])
    version = re.search(r"ARG PYTHON=3\.(\d+)", text)
    assert version
    assert int(lowest) <= int(version[1]) < int(last)


def test_compose_agrees_with_the_image_and_confines_it() -> None:
    (party,) = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"].values()
    image = container()
    assert party["command"] == yaml.safe_load(image["CMD"][0])
    assert [party["user"]] == image["USER"]
    assert (ROOT / "docs" / "deploy" / party["build"]["context"]).resolve() == ROOT
    assert (ROOT / party["build"]["dockerfile"]).is_file()
    assert party["volumes"] == [f"./jmpc:{STATE}"]
    assert party["ports"] == [f"{PORT}:{PORT}", f"127.0.0.1:{METRICS[1]}:{METRICS[1]}"]
    assert (party["read_only"], party["cap_drop"], party["ulimits"]["core"]) == (True, ["ALL"], 0)
    assert "no-new-privileges:true" in party["security_opt"]
    assert party["mem_limit"] == party["memswap_limit"]  # no swap
    assert int(party["mem_limit"].removesuffix("g")) << 30 > USUAL.limits.memory
    assert party["image"] == f"jmpc:{jmpc.__version__}"


def chart(**over: object) -> dict[str, dict]:
    return rendered(CHART, "party-1", {"clusterToml": "format = 1\n", "party": "party/1", "index": 1, **over})


def test_the_charts_settings_are_settings_of_a_party() -> None:
    data = chart(newStore=True)["ConfigMap"]["data"]
    found, faults = read_settings(data["party.toml"], Path("/run/jmpc/settings/party.toml"))
    assert faults == []
    assert found is not None
    assert (found.party, found.listen, found.metrics) == ("party/1", ("0.0.0.0", PORT), ("0.0.0.0", METRICS[1]))
    assert (found.limits, found.quota, found.grace_s) == (USUAL.limits, USUAL.quota, USUAL.grace_s)
    assert found.client_quota == USUAL.client_quota
    assert str(found.state).startswith(STATE)


def test_the_charts_keys_are_where_its_settings_say_they_are() -> None:
    documents = chart()
    found, _ = read_settings(documents["ConfigMap"]["data"]["party.toml"], Path("/run/jmpc/settings/party.toml"))
    assert found is not None
    pod = documents["StatefulSet"]["spec"]["template"]["spec"]
    (init,), (party,) = pod["initContainers"], pod["containers"]
    script = init["command"][-1]
    for place in (found.path, found.storage_key, found.cluster / "cluster.toml"):
        assert re.search(rf"install -m 6[04][04] \S+ {place}\n", script)
    assert f"{found.identity}/$file" in script
    assert f"-m 700 {found.path.parent} {found.identity}" in script
    assert subprocess.run(["bash", "-n", "-c", script]).returncode == 0
    assert party["args"] == ["party", "run", "--config", str(found.path.parent)]
    assert '[ "false" = true ]' in script  # no store is made where nobody asked for one
    (init,) = chart(newStore=True)["StatefulSet"]["spec"]["template"]["spec"]["initContainers"]
    assert '[ "true" = true ]' in init["command"][-1]


def test_the_charts_script_makes_a_party_that_nothing_is_wrong_with(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run as it is, with the folders of the pod in a folder of the test."""
    root, study = tmp_path / "pod", config.parent.parent / "study"
    documents = chart(clusterToml=(study / "cluster.toml").read_text(), newStore=True)
    for folder in ("config", "secret", "run/jmpc", "var/lib/jmpc", "bin"):
        (root / folder).mkdir(parents=True)
    for name, text in documents["ConfigMap"]["data"].items():
        (root / "config" / name).write_text(_inside(root, text))
    for path in (study / "party-1" / "key.pem", study / "party-1" / "certificate.pem", config.parent / "storage.key"):
        shutil.copy(path, root / "secret")
    script = documents["StatefulSet"]["spec"]["template"]["spec"]["initContainers"][0]["command"][-1]
    script = _inside(root, script).replace("jmpc party prepare", "printf '%s\\n'")
    done = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, check=True)
    where = done.stdout.split()[-1]
    assert run(["party", "prepare", "--config", where]) == 0
    assert run(["party", "check", "--config", where, "--allow-root"]) == 0, capsys.readouterr().out
    Roster.read(root / "run" / "jmpc" / "cluster" / "cluster.toml")


def _inside(root: Path, text: str) -> str:
    return re.sub(r"/(run/jmpc|var/lib/jmpc|config/|secret/)", rf"{root}/\1", text)


def test_the_charts_ports_and_probes_are_those_of_its_settings() -> None:
    documents = chart(service={"type": "NodePort", "port": 7443}, metricsPort=9999)
    text = documents["ConfigMap"]["data"]["party.toml"]
    assert 'listen = "0.0.0.0:7443"' in text
    assert 'metrics = "0.0.0.0:9999"' in text
    (party,) = documents["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in party["ports"]}
    assert ports == {"party": 7443, "metrics": 9999}
    for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert party[probe]["httpGet"] == {"path": path, "port": "metrics"}
    service = documents["Service"]["spec"]
    assert service["ports"] == [{"name": "party", "port": 7443, "targetPort": "party"}]
    assert service["publishNotReadyAddresses"] is True  # peers must reach it before it is ready
    rules = documents["NetworkPolicy"]["spec"]["ingress"]
    assert [rule["ports"][0]["port"] for rule in rules] == [7443, 9999]
    assert "from" in rules[1]


def test_the_charts_labels_lead_to_one_another() -> None:
    documents = chart()
    labels = documents["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    assert documents["StatefulSet"]["spec"]["selector"]["matchLabels"] == labels
    assert documents["Service"]["spec"]["selector"] == labels
    assert documents["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    pod = documents["StatefulSet"]["spec"]["template"]["spec"]
    claimed = {claim["metadata"]["name"] for claim in documents["StatefulSet"]["spec"]["volumeClaimTemplates"]}
    there = {volume["name"] for volume in pod["volumes"]} | claimed
    for each in (*pod["initContainers"], *pod["containers"]):
        assert {mount["name"] for mount in each["volumeMounts"]} <= there


def test_the_chart_confines_the_party() -> None:
    spec = chart()["StatefulSet"]["spec"]
    pod = spec["template"]["spec"]
    assert spec["replicas"] == 1
    context = pod["securityContext"]
    assert (context["runAsNonRoot"], str(context["runAsUser"]), str(context["fsGroup"])) == (True, USER, USER)
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for each in (*pod["initContainers"], *pod["containers"]):
        own = each["securityContext"]
        assert (own["allowPrivilegeEscalation"], own["readOnlyRootFilesystem"]) == (False, True)
        assert own["capabilities"] == {"drop": ["ALL"]}
    secret = next(volume for volume in pod["volumes"] if volume["name"] == "secret")
    assert not any(mount["name"] == "secret" for mount in pod["containers"][0]["volumeMounts"])
    assert secret["secret"]["defaultMode"] == 0o440
    run_ = next(volume for volume in pod["volumes"] if volume["name"] == "run")
    assert run_["emptyDir"] == {"medium": "Memory"}


def test_the_charts_sizes_leave_room() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert size_of(values["resources"]["memory"] + "B") > size_of(values["limits"]["memory"])
    assert size_of(values["disk"] + "B") > size_of(values["limits"]["quota"])


def test_the_chart_is_of_this_version() -> None:
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (about["version"], about["appVersion"]) == (jmpc.__version__, jmpc.__version__)
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values["image"] == f"jmpc:{jmpc.__version__}"


def test_without_a_clusters_file_the_chart_makes_nothing() -> None:
    with pytest.raises(AssertionError, match="set-file clusterToml"):
        chart(clusterToml="")


def test_a_new_clusters_file_starts_the_party_anew() -> None:
    def annotations(text: str) -> dict:
        return chart(clusterToml=text)["StatefulSet"]["spec"]["template"]["metadata"]["annotations"]

    assert annotations("format = 1\n") != annotations("format = 1\n\n")


def test_the_page_says_what_the_files_say() -> None:
    text = (DEPLOY / "README.md").read_text()
    for name in ("jmpc-party.service", "Containerfile", "compose.yaml", "chart/"):
        assert f"`{name}`" in text
        assert (DEPLOY / name).exists()
    for words in re.findall(r"jmpc party (\w+)", text):
        assert run(["party", words, "--help"]) == 0
    assert f"jmpc:{jmpc.__version__}" in text
    assert settings.FILE in text
    assert [target for target in re.findall(r"\]\(([^)#]+)\)", text) if not (DEPLOY / target).exists()] == []
