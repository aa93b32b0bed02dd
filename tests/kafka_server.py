"""A real Apache Kafka on loopback, for tests: one node, no ZooKeeper, that can be stopped, killed and started again on its data."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import pytest

VERSION = "4.3.1"
CLUSTER = "MkU3OEVBNTcwNTJENDM2Qk"  # any 22 base64 characters
START_S = 60.0

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>headrace</groupId><artifactId>kafka-jars</artifactId><version>1</version><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{version}</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version></dependency>
</dependencies></project>
"""

PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={folder}/data
num.partitions=4
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.cleaner.dedupe.buffer.size=4194304
"""


def jars() -> Path:
    """The folder of Kafka's jars, fetched once with Maven. Without Java or Maven: skip, but fail where CI=true."""
    folder = Path(os.environ.get("HEADRACE_KAFKA_JARS") or Path.home() / f".cache/headrace/kafka-{VERSION}")
    missing = [name for name in ("java", "mvn") if shutil.which(name) is None]
    if "java" in missing or ("mvn" in missing and not list(folder.glob("kafka_2.13-*.jar"))):
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say(f"Apache Kafka needs {' and '.join(missing)}: install openjdk-17-jre-headless and maven")
    if not list(folder.glob(f"kafka_2.13-{VERSION}.jar")):
        fetch(folder)
    return folder


def fetch(folder: Path) -> None:
    """Fill `folder` in one step: a broken download leaves nothing that looks whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        (Path(work) / "pom.xml").write_text(POM.format(version=VERSION))
        copy = ["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={work}/jars"]
        done = subprocess.run(copy, cwd=work, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            pytest.fail(f"Maven could not fetch Apache Kafka {VERSION}: {done.stdout[-800:]}{done.stderr[-400:]}")
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(Path(work) / "jars", folder)


def free_ports(n: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


class KafkaServer:
    """`with KafkaServer() as kafka`: `kafka.address` is its host:port, the same after `stop()` or `kill()` and `start()`."""

    def __init__(self) -> None:
        self.jars = jars()
        self.folder = Path(tempfile.mkdtemp(prefix="headrace-apache-kafka-"))
        port, controller = free_ports(2)
        self.address = f"127.0.0.1:{port}"
        self.config = self.folder / "server.properties"
        self.config.write_text(PROPERTIES.format(port=port, controller=controller, folder=self.folder))
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._java("kafka.tools.StorageTool", "format", "--standalone", "-t", CLUSTER, "-c", str(self.config)).wait(60)
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Return once the port is open. The group coordinator may need a moment more: clients retry."""
        self.process = self._java("kafka.Kafka", str(self.config))
        host, port = self.address.split(":")
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        pytest.fail(f"Apache Kafka did not start: {(self.folder / 'server.log').read_text()[-800:]}")

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(30)

    def _java(self, *command: str) -> subprocess.Popen[bytes]:
        memory = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        with (self.folder / "server.log").open("ab") as log:
            return subprocess.Popen(
                ["java", *memory, "-cp", f"{self.jars}/*", *command], cwd=self.folder, stdout=log, stderr=subprocess.STDOUT
            )
