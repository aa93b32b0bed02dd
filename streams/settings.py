"""Every dial of Headrace, read once from `HEADRACE_*` variables.

`Settings.read(environ)` reports every bad variable in one SettingsError. A secret may come from a file instead:
`HEADRACE_SECRET_FILE=/run/secrets/signing` for `secret`, and so for each name in SECRETS.
"""

import difflib
import ipaddress
import math
import os
import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self, get_type_hints
from urllib.parse import quote, urlsplit, urlunsplit

from models.identity import IdentityRules, blocked_of
from models.profile.state import ALIASES_KEPT
from models.rewards import Values
from schemas.errors import SettingsError

__all__ = ["SECRETS", "Settings"]

PREFIX = "HEADRACE_"
DEMO_DIVISOR = 1800.0  # half an hour is a second
SECRETS = ("secret", "token", "api_token", "kafka_password", "redis_password", "generator_key")
MIN_SECRET_CHARS = 16

CHOICES: dict[str, tuple[str, ...]] = {
    "pace": ("live", "demo"),
    "kafka_mechanism": ("", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
    "log_level": ("debug", "info", "warning", "error"),
    "log_format": ("json", "text"),
}
RANGES: dict[str, tuple[float, float]] = {
    "partitions": (1, 10_000),
    "replication": (1, 9),
    "batch_records": (1, 100_000),
    "batch_bytes": (1024, 256 * 1024 * 1024),
    "session_timeout_s": (2, 90),  # above: Faust's request timeout. Apache Kafka refuses less than 6 unless told otherwise
    "stuck_s": (5, 3600),
    "lag_poll_s": (0.1, 600),
    "merged_ids": (1, ALIASES_KEPT),
    "debounce_s": (0, 86_400),
    "late_s": (60, 365 * 86_400),
    "policy_refresh_s": (0.05, 3600),
    "policy_half_life_days": (2, 3650),  # below, weights would leave the range of numbers within two years
    "image_weight": (0, 1),
    "holdout_global": (0, 0.5),
    "holdout_campaign": (0, 0.5),
    "web_port": (0, 65_535),
    "api_port": (0, 65_535),
}


def default_cache() -> Path:
    return Path(os.path.expanduser("~/.cache/headrace"))


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings:
    """What a process of Headrace was told. The field `batch_records` is the variable HEADRACE_BATCH_RECORDS."""

    # Where the streams and the state are.
    kafka: str = ""  # bootstrap servers "host:port,host:port"; empty: `headrace up` starts its own
    redis: str = ""  # redis://, rediss:// (TLS) or unix:// URL; empty: `headrace up` starts its own
    prefix: str = "headrace"  # first part of every topic name
    group: str = "headrace"  # consumer group; each stage adds its name
    instance_id: str = ""  # stable name of this replica: a restart within the session timeout moves no partitions
    partitions: int = 12  # of each topic that `headrace topics` creates
    replication: int = 1  # copies of each topic that `headrace topics` creates; 3 in production

    # How Kafka and Redis know us.
    kafka_mechanism: str = ""  # empty: no SASL
    kafka_username: str = ""
    kafka_password: str = ""
    kafka_tls: bool = False  # also on where a CA or a client certificate is given
    kafka_cafile: Path | None = None  # the broker's CA; unset: the system's
    kafka_certfile: Path | None = None  # client certificate for mutual TLS
    kafka_keyfile: Path | None = None
    redis_password: str = ""  # where the URL should not carry it

    # Models.
    encoder: str = "minilm"  # "minilm", "hash" (no model), or a Hugging Face name or path
    generator: str = "smollm2"  # "smollm2", "none" (hand-written templates), a Hugging Face name or path, or "openai:<url>"
    generator_key: str = ""  # bearer key of an "openai:<url>" generator
    voice: str = ""  # a folder made by `headrace voice train`, or "none"; empty: the voice that ships with the default generator
    image_encoder: str = ""  # a folder or Hugging Face name of a CLIP-like model; empty: products are known by their text alone
    images: Path | None = None  # folder of the products' pictures, by the file name of image_url or by product id; no downloads
    image_weight: float = 0.3  # share of the picture in the likeness of two products, 0-1
    cache_dir: Path = field(default_factory=default_cache)  # converted models

    # Marketing.
    secret: str = ""  # signs decision tokens; `read` makes one up, with a warning, where it is unset
    pace: str = "live"  # "demo" divides every campaign wait by 1,800 and turns quiet hours off
    campaigns: Path | None = None  # campaign definitions; unset: those that ship with Headrace
    rules: Path | None = None  # what may be recommended where (streams/rules.yaml is a commented start); unset: no rules
    blocked_ids: str = ""  # comma-separated: ids that stand for nobody, beside "null", "guest", "0" and the like; never merged
    merged_ids: int = 50  # at most this many ids become one shopper
    debounce_s: float = 5.0  # at most one recommendation for a shopper and surface in this time
    late_s: float = 72 * 3600.0  # an older event moves the profile and triggers nothing
    policy_refresh_s: float = 60.0  # how old the policy of a decision may be; in the demo at most five seconds
    policy_half_life_days: float = 14.0  # a decision counts half after this; another value starts learning anew
    rewards: str = ""  # what outcomes are worth, in conversions: "opened=0,complained=-8"; unnamed ones keep their default
    holdout_global: float = 0.05  # share of shoppers who get no marketing at all, 0-0.5
    holdout_campaign: float = 0.05  # share held out of each campaign, 0-0.5
    holdout_salt: str = "headrace"  # a new salt draws new holdouts
    link_base_url: str = "https://shop.example"  # where links and one-click unsubscribe lead
    unsubscribe_mailbox: str = "unsubscribe@shop.example"

    # How much at once, and when to worry.
    batch_records: int = 1000  # at most this many records in a batch
    batch_bytes: int = 4 * 1024 * 1024  # at most this many bytes fetched from a partition at once
    session_timeout_s: float = 30.0  # the group gives a silent worker's partitions away after this
    stuck_s: float = 120.0  # lag and no progress for this long: /health fails and the worker ends
    lag_poll_s: float = 5.0

    # What ops see.
    web_host: str = "127.0.0.1"
    web_port: int = 0  # 0: any free port, written to the log
    token: str = ""  # bearer token of the console and the admin pages; required where web_host is not loopback
    api_host: str = "127.0.0.1"  # of `headrace api`, which answers with recommendations
    api_port: int = 0  # 0: any free port, written to the log
    api_token: str = ""  # bearer token of the API; required where api_host is not loopback
    log_level: str = "info"
    log_format: str = "json"  # or "text" for people

    warnings: tuple[str, ...] = ()  # what `read` wants said at start; not a variable

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Settings from variables. SettingsError names every bad, unknown or contradictory one at once."""
        given = {name: value for name, value in environ.items() if name.startswith(PREFIX)}
        problems = [unknown(name) for name in given if name not in variables()]
        values: dict[str, Any] = {}
        for name, kind in dials().items():
            try:
                raw = from_file(name, given) if name in SECRETS else given.get(variable(name), "")
                if raw != "":
                    values[name] = parse(name, kind, raw)
            except ValueError as error:
                problems.append(str(error))
        settings = cls(**values)
        problems += contradictions(settings)
        if problems:
            raise SettingsError(problems)
        return replace(settings, **said(settings))

    def environ(self) -> dict[str, str]:
        """The variables that make `read` return these settings again: what a parent lays over its own for its children."""
        values = {variable(name): written(getattr(self, name)) for name in dials()}
        return values | {variable(name) + "_FILE": "" for name in SECRETS}  # what a file gave is among the values now

    def require(self, *names: str) -> None:
        """SettingsError unless each of `names` is set."""
        missing = [
            f"{variable(name)} is not set: {REMEDIES.get(name, 'it has no default')}" for name in names if not getattr(self, name)
        ]
        if missing:
            raise SettingsError(missing)

    @property
    def secret_key(self) -> bytes:
        """The signing key. SettingsError where it is too short to sign anything."""
        if len(self.secret) < MIN_SECRET_CHARS:
            raise SettingsError([f"{variable('secret')} must have {MIN_SECRET_CHARS} characters or more, has {len(self.secret)}"])
        return self.secret.encode()

    @property
    def divisor(self) -> float:
        """What every campaign wait is divided by: 1 live, 1,800 in the demo."""
        return DEMO_DIVISOR if self.pace == "demo" else 1.0

    @property
    def reward_values(self) -> dict[str, object]:
        """What HEADRACE_REWARDS says, by name. SettingsError where it is no list of name=number."""
        values: dict[str, object] = {}
        for part in filter(None, (part.strip() for part in self.rewards.split(","))):
            name, _, number = part.partition("=")
            try:
                values[name.strip()] = float(number)
            except ValueError:
                raise SettingsError([f"{variable('rewards')} must be name=number,..., got {part!r}"]) from None
        return values

    @property
    def identity_rules(self) -> IdentityRules:
        return IdentityRules(blocked=blocked_of(self.blocked_ids), most_ids=self.merged_ids)

    @property
    def policy_half_life_s(self) -> float:
        return self.policy_half_life_days * 86_400.0

    @property
    def policy_age_s(self) -> float:
        """How old the policy of a decision may be."""
        return self.policy_refresh_s if self.pace == "live" else min(self.policy_refresh_s, 5.0)

    @property
    def quiet_hours(self) -> bool:
        return self.pace == "live"

    @property
    def kafka_protocol(self) -> str:
        """Kafka's name for the mix of SASL and TLS."""
        tls = self.kafka_tls or bool(self.kafka_cafile or self.kafka_certfile)
        if self.kafka_mechanism:
            return "SASL_SSL" if tls else "SASL_PLAINTEXT"
        return "SSL" if tls else "PLAINTEXT"

    def kafka_ssl(self) -> ssl.SSLContext | None:
        """A verifying TLS context, or None where Kafka is plain."""
        if not self.kafka_protocol.endswith("SSL"):
            return None
        context = ssl.create_default_context(cafile=self.kafka_cafile)
        if self.kafka_certfile:
            context.load_cert_chain(self.kafka_certfile, self.kafka_keyfile)
        return context

    def kafka_client(self) -> dict[str, Any]:
        """Keyword arguments with which every aiokafka client of ours reaches the broker."""
        self.require("kafka")
        options: dict[str, Any] = {"bootstrap_servers": self.kafka.split(","), "security_protocol": self.kafka_protocol}
        if context := self.kafka_ssl():
            options["ssl_context"] = context
        if self.kafka_mechanism:
            options["sasl_mechanism"] = self.kafka_mechanism
            options["sasl_plain_username"], options["sasl_plain_password"] = self.kafka_username, self.kafka_password
        return options

    @property
    def redis_url(self) -> str:
        """The Redis URL with the password of HEADRACE_REDIS_PASSWORD in it, where there is one."""
        if not self.redis_password:
            return self.redis
        url = urlsplit(self.redis)
        where = url.netloc.rpartition("@")[2]
        return urlunsplit(url._replace(netloc=f"{quote(url.username or '')}:{quote(self.redis_password, safe='')}@{where}"))

    def __repr__(self) -> str:
        shown = {name: getattr(self, name) for name in dials()}
        shown |= {name: "***" for name in SECRETS if shown[name]}
        shown["redis"] = without_password(self.redis)
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


REMEDIES = {
    "kafka": "give bootstrap servers, for example localhost:9092, or let `headrace up` start a broker",
    "redis": "give a URL, for example redis://localhost:6379/0, or let `headrace up` start a server",
}


def dials() -> dict[str, Any]:
    """Field name -> type, of every field that has a variable."""
    hints = get_type_hints(Settings)
    return {f.name: hints[f.name] for f in fields(Settings) if f.name != "warnings"}


def variable(name: str) -> str:
    return PREFIX + name.upper()


def variables() -> list[str]:
    """Every name that may be set."""
    return [variable(name) for name in dials()] + [variable(name) + "_FILE" for name in SECRETS]


def unknown(name: str) -> str:
    near = difflib.get_close_matches(name, variables(), n=1)
    return f"{name} is not a setting of Headrace" + (f": did you mean {near[0]}?" if near else "")


def from_file(name: str, given: Mapping[str, str]) -> str:
    """The value of a secret, from its variable or from the file that its _FILE twin names."""
    direct, path = given.get(variable(name), ""), given.get(variable(name) + "_FILE", "")
    if direct and path:
        raise ValueError(f"{variable(name)} and {variable(name)}_FILE are both set: keep one")
    if not path:
        return direct
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{variable(name)}_FILE cannot be read: {path}: {getattr(error, 'strerror', 'not UTF-8')}") from error
    if not text:
        raise ValueError(f"{variable(name)}_FILE is empty: {path}")
    return text


def parse(name: str, kind: Any, raw: str) -> Any:
    """`raw` as the type of its field. ValueError says the variable, what was expected and what came."""
    if name in CHOICES and raw not in CHOICES[name]:
        allowed = ", ".join(choice for choice in CHOICES[name] if choice)
        raise ValueError(f"{variable(name)} must be one of {allowed}, got {raw!r}")
    if kind is bool:
        return truth(name, raw)
    if kind is int or kind is float:
        return number(name, kind, raw)
    return raw if kind is str else Path(os.path.expanduser(raw))


def truth(name: str, raw: str) -> bool:
    if raw.lower() not in ("true", "false", "1", "0", "yes", "no"):
        raise ValueError(f"{variable(name)} must be true or false, got {raw!r}")
    return raw.lower() in ("true", "1", "yes")


def number(name: str, kind: type[int] | type[float], raw: str) -> float:
    low, high = RANGES[name]
    what = f"a {'whole ' if kind is int else ''}number from {low:g} to {high:g}"
    try:
        value = kind(raw)
    except ValueError:
        raise ValueError(f"{variable(name)} must be {what}, got {raw!r}") from None
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(f"{variable(name)} must be {what}, got {raw}")
    return value


def contradictions(settings: Settings) -> list[str]:
    """What is wrong between or inside values that each parse."""
    problems = []
    if settings.kafka and not all(port_of(server) for server in settings.kafka.split(",")):
        problems.append(f"{variable('kafka')} must be host:port,host:port, got {settings.kafka!r}")
    if settings.redis and urlsplit(settings.redis).scheme not in ("redis", "rediss", "unix"):
        problems.append(
            f"{variable('redis')} must be a redis://, rediss:// or unix:// URL, got {without_password(settings.redis)!r}"
        )
    if settings.kafka_mechanism and not (settings.kafka_username and settings.kafka_password):
        problems.append(f"{variable('kafka_mechanism')} needs {variable('kafka_username')} and {variable('kafka_password')}")
    if (settings.kafka_username or settings.kafka_password) and not settings.kafka_mechanism:
        problems.append(f"{variable('kafka_username')} and its password need {variable('kafka_mechanism')}")
    if bool(settings.kafka_certfile) != bool(settings.kafka_keyfile):
        problems.append(f"{variable('kafka_certfile')} and {variable('kafka_keyfile')} go together")
    for name in ("kafka_cafile", "kafka_certfile", "kafka_keyfile", "campaigns", "rules"):
        path: Path | None = getattr(settings, name)
        if path is not None and not path.is_file():
            problems.append(f"{variable(name)} is not a file: {path}")
    try:
        Values.load(settings.reward_values)
    except SettingsError as error:
        problems += error.problems
    if not loopback(settings.api_host) and not settings.api_token:
        problems.append(
            f"{variable('api_host')} is open to the network: set {variable('api_token')} too, or keep it on 127.0.0.1"
        )
    if bool(settings.image_encoder) != (settings.images is not None):
        problems.append(f"{variable('image_encoder')} and {variable('images')} go together: a model, and a folder of pictures")
    if settings.images is not None and not settings.images.is_dir():
        problems.append(f"{variable('images')} is not a folder: {settings.images}")
    if 0 < len(settings.secret) < MIN_SECRET_CHARS:
        problems.append(f"{variable('secret')} must have {MIN_SECRET_CHARS} characters or more, has {len(settings.secret)}")
    if settings.generator.startswith("openai:") and not is_http(settings.generator.removeprefix("openai:")):
        problems.append(f"{variable('generator')} must be openai:<http(s) URL>, got {settings.generator!r}")
    if not is_http(settings.link_base_url):
        problems.append(f"{variable('link_base_url')} must be an http(s) URL, got {settings.link_base_url!r}")
    return problems


def said(settings: Settings) -> dict[str, Any]:
    """What `read` fills in and what it wants said about it."""
    warnings, filled = [], {}
    if not settings.secret:
        filled["secret"] = secrets.token_urlsafe(32)
        warnings.append(
            f"{variable('secret')} is not set: signing with a new random key, so links of an earlier run are not credited"
        )
    if settings.pace == "demo":
        warnings.append(
            "DEMO PACE: every campaign wait is divided by 1,800 and quiet hours are off. Never use it with real shoppers"
        )
    if not loopback(settings.web_host) and not settings.token:
        warnings.append(
            f"{variable('web_host')} is open to the network without {variable('token')}: only health and metrics are served there"
        )
    return {**filled, "warnings": tuple(warnings)}


def loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def port_of(server: str) -> int | None:
    try:
        return urlsplit(f"//{server.strip()}").port
    except ValueError:
        return None


def is_http(url: str) -> bool:
    return urlsplit(url).scheme in ("http", "https") and bool(urlsplit(url).netloc)


def without_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc="***@" + parts.netloc.rpartition("@")[2])) if parts.password else url


def written(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
