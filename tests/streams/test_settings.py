"""Settings: read once, every problem named at once, secrets never shown."""

import pytest

from schemas.errors import SettingsError
from streams.settings import SECRETS, Settings, dials, variable


def problems_of(environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.read(environ)
    return caught.value.problems


def test_no_variables_at_all_are_settings_for_a_trial():
    settings = Settings.read({})

    assert (settings.kafka, settings.redis, settings.prefix, settings.pace) == ("", "", "headrace", "live")
    assert (settings.encoder, settings.generator) == ("minilm", "smollm2")
    assert (settings.web_host, settings.web_port) == ("127.0.0.1", 0)


def test_variables_of_other_programs_are_left_alone():
    assert Settings.read({"PATH": "/bin", "KAFKA": "x", "HEADRACER": "y"}).kafka == ""


def test_every_bad_variable_is_named_in_one_error():
    problems = problems_of(
        {
            "HEADRACE_KAFKA": "no-port",
            "HEADRACE_REDIS": "http://cache",
            "HEADRACE_BATCH_RECORDS": "many",
            "HEADRACE_DEBOUNCE_S": "nan",
            "HEADRACE_HOLDOUT_GLOBAL": "0.9",
            "HEADRACE_PACE": "fast",
            "HEADRACE_KAFKA_TLS": "perhaps",
            "HEADRACE_CAMPAIGNS": "/no/such/file.yaml",
            "HEADRACE_GENERATOR": "openai:somewhere",
            "HEADRACE_SECRET": "short",
        }
    )

    assert len(problems) == 10
    assert "HEADRACE_BATCH_RECORDS must be a whole number from 1 to 100000, got 'many'" in problems
    assert "HEADRACE_PACE must be one of live, demo, got 'fast'" in problems


def test_a_misspelt_name_is_an_error_that_suggests_the_right_one():
    assert problems_of({"HEADRACE_KAFKAA": "a:1"}) == [
        "HEADRACE_KAFKAA is not a setting of Headrace: did you mean HEADRACE_KAFKA?"
    ]


def test_an_empty_value_counts_as_not_set():
    assert Settings.read({"HEADRACE_REDIS": "", "HEADRACE_BATCH_RECORDS": ""}).batch_records == Settings().batch_records


def test_a_secret_can_come_from_a_file(tmp_path):
    (tmp_path / "key").write_text("a-signing-key-of-32-characters-!\n")

    settings = Settings.read({"HEADRACE_SECRET_FILE": str(tmp_path / "key")})

    assert settings.secret_key == b"a-signing-key-of-32-characters-!"
    assert settings.warnings == ()


@pytest.mark.parametrize("name", SECRETS)
def test_every_secret_has_a_file_twin_and_both_at_once_are_refused(name, tmp_path):
    path = tmp_path / "secret"
    path.write_text("x" * 20)

    problems = problems_of({variable(name): "y" * 20, variable(name) + "_FILE": str(path)})

    assert f"{variable(name)} and {variable(name)}_FILE are both set: keep one" in problems


def test_a_missing_or_empty_secret_file_is_named(tmp_path):
    (tmp_path / "empty").write_text("\n")

    assert problems_of({"HEADRACE_TOKEN_FILE": str(tmp_path / "none")})[0].startswith("HEADRACE_TOKEN_FILE cannot be read")
    assert problems_of({"HEADRACE_TOKEN_FILE": str(tmp_path / "empty")})[0].startswith("HEADRACE_TOKEN_FILE is empty")


def test_without_a_secret_one_is_made_up_and_said():
    one, other = Settings.read({}), Settings.read({})

    assert len(one.secret_key) >= 32
    assert one.secret != other.secret
    assert "HEADRACE_SECRET is not set" in one.warnings[0]


def test_settings_made_by_hand_sign_nothing_without_a_secret():
    with pytest.raises(SettingsError):
        _ = Settings().secret_key


def test_the_demo_pace_is_1800_times_faster_without_quiet_hours_and_is_said_loudly():
    demo = Settings.read({"HEADRACE_PACE": "demo", "HEADRACE_SECRET": "s" * 32})

    assert (demo.divisor, demo.quiet_hours) == (1800.0, False)
    assert (Settings().divisor, Settings().quiet_hours) == (1.0, True)
    assert demo.warnings[0].startswith("DEMO PACE")


def test_no_secret_shows_when_settings_are_printed():
    settings = Settings(
        **dict.fromkeys(SECRETS, "hush-hush-hush-hush"),
        redis="redis://user:pass-word@host:6379/0",
        kafka_username="svc",
        kafka_mechanism="PLAIN",
    )

    assert "hush" not in repr(settings)
    assert "pass-word" not in repr(settings)
    assert "redis://***@host:6379/0" in repr(settings)


def test_a_bad_redis_url_is_reported_without_its_password():
    assert "hunter2" not in problems_of({"HEADRACE_REDIS": "http://u:hunter2@h"})[0]


def test_children_read_the_settings_of_their_parent_even_where_a_file_gave_the_secret(tmp_path):
    path = tmp_path / "key"
    path.write_text("k" * 32)
    environ = {
        "HEADRACE_SECRET_FILE": str(path),
        "HEADRACE_KAFKA": "a:1,b:2",
        "HEADRACE_KAFKA_TLS": "yes",
        "HEADRACE_LATE_S": "90.5",
    }
    parent = Settings.read(environ)

    child = Settings.read(environ | parent.environ())

    assert child == parent


def test_every_dial_can_be_set_by_its_variable():
    assert set(Settings().environ()) == {variable(name) for name in dials()} | {variable(name) + "_FILE" for name in SECRETS}


def test_kafka_is_plain_unless_told_otherwise():
    assert Settings(kafka="a:1,b:2").kafka_client() == {"bootstrap_servers": ["a:1", "b:2"], "security_protocol": "PLAINTEXT"}


def test_sasl_over_tls_reaches_every_client():
    settings = Settings.read(
        {
            "HEADRACE_KAFKA": "a:9093",
            "HEADRACE_KAFKA_MECHANISM": "SCRAM-SHA-512",
            "HEADRACE_KAFKA_USERNAME": "svc",
            "HEADRACE_KAFKA_PASSWORD": "pw",
            "HEADRACE_KAFKA_TLS": "true",
        }
    )

    client = settings.kafka_client()

    assert client["security_protocol"] == "SASL_SSL"
    assert (client["sasl_mechanism"], client["sasl_plain_username"], client["sasl_plain_password"]) == (
        "SCRAM-SHA-512",
        "svc",
        "pw",
    )
    assert client["ssl_context"].check_hostname


def test_half_a_login_is_refused():
    assert problems_of({"HEADRACE_KAFKA_MECHANISM": "PLAIN"}) and problems_of({"HEADRACE_KAFKA_USERNAME": "svc"})


def test_the_redis_password_joins_the_url():
    settings = Settings(redis="rediss://app@cache:6380/1", redis_password="p@ss/word")

    assert settings.redis_url == "rediss://app:p%40ss%2Fword@cache:6380/1"


def test_what_a_command_needs_is_asked_for_by_name():
    with pytest.raises(SettingsError, match="HEADRACE_KAFKA is not set"):
        Settings().require("kafka")

    Settings(kafka="a:1").require("kafka")


def test_what_outcomes_are_worth_can_be_set_and_every_mistake_is_named():
    settings = Settings.read({"HEADRACE_REWARDS": "opened=0, complained=-8"})

    assert settings.reward_values == {"opened": 0.0, "complained": -8.0}
    with pytest.raises(SettingsError) as unknown:
        Settings.read({"HEADRACE_REWARDS": "liked=1,revenue_cap=-1"})
    with pytest.raises(SettingsError, match="name=number"):
        Settings.read({"HEADRACE_REWARDS": "opened"})
    assert len(unknown.value.problems) == 2
