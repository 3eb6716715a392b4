"""Against software that nobody here wrote: llama.cpp's OpenAI-compatible server, with a model of random weights.

`make prove` builds it once in .venv-llama; without that these tests are left out.
"""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.house import ROOT, House
from tests.promises.counts import report
from tests.services import free_port

PYTHON = ROOT / ".venv-llama" / "bin" / "python"
START_SECONDS = 60.0
QUESTION: Any = [{"role": "user", "content": "Say something."}]

pytestmark = [
    pytest.mark.promise,
    pytest.mark.skipif(not PYTHON.exists(), reason="make prove builds llama.cpp's server in .venv-llama"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the server, of a build that was not made for us."""
    folder = tmp_path_factory.mktemp("llama")
    file, port = folder / "random.gguf", free_port()
    subprocess.run([PYTHON, ROOT / "tests" / "llama" / "model.py", file], check=True)
    words = ["--model", str(file), "--model_alias", "random", "--embedding", "true", "--n_ctx", "512"]
    words += ["--chat_format", "chatml", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([PYTHON, "-m", "llama_cpp.server", *words], stdout=log, stderr=log)
        try:
            _await(f"http://127.0.0.1:{port}/v1/models", process, folder / "log")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait(10)


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(log.read_text()) from None
            time.sleep(0.1)


@pytest.fixture(scope="module")
def house(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    with House(folder) as house:
        file = folder / "llama.json"
        chats = {"name": "llama", "kind": "vllm", "base_url": server}
        embeds = {**chats, "name": "embeds", "models": [{"id": "random", "use": "embedding"}]}
        file.write_text(json.dumps({"providers": [chats, embeds]}))
        house.manage("apply", str(file), "--yes")
        yield house


@pytest.fixture(scope="module")
def client(house: House) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=house.key(), base_url=f"{house.url}/v1", timeout=60.0, max_retries=0) as client:
        yield client


def test_its_list_of_models_is_read(client: openai.OpenAI) -> None:
    assert "llama:random" in [model.id for model in client.models.list()]


def test_plain_and_streamed_we_say_what_it_says(client: openai.OpenAI, house: House, server: str) -> None:
    """Its stream leaves out characters of several bytes that its plain answer has: so does ours, and nothing else."""
    fixed: dict[str, Any] = {
        "model": "llama:random",
        "messages": QUESTION,
        "max_tokens": 60,
        "temperature": 0,
        "seed": 1,
    }
    plain = client.chat.completions.create(**fixed)
    chunks = list(client.chat.completions.create(**fixed, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    direct = {**fixed, "model": "random"}
    with openai.OpenAI(api_key="test-key-none", base_url=server, timeout=60.0) as theirs:
        assert plain.choices[0].message.content == theirs.chat.completions.create(**direct).choices[0].message.content
        pieces = theirs.chat.completions.create(**direct, stream=True)
        assert text == "".join(piece.choices[0].delta.content or "" for piece in pieces)
    assert plain.choices[0].finish_reason == "length"
    assert plain.usage is not None
    assert plain.usage.completion_tokens == 60
    assert chunks[-1].usage is not None  # counted by us: this server does not say
    charge = json.loads(house.manage("ledger", "show", str(plain._request_id)).splitlines()[-1])
    assert charge["usage_source"] == "provider"
    report(f"llama.cpp: {len(text)} characters, the same with us in between")


def test_any_bytes_come_through_whole(client: openai.OpenAI) -> None:
    for seed in range(8):
        stream = client.chat.completions.create(
            model="llama:random", messages=QUESTION, max_tokens=120, temperature=2.0, seed=seed, stream=True
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
        assert text.encode("utf-8", "strict")


def test_embeddings(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="embeds:random", input=["one", "another"], encoding_format="float")
    assert len(answer.data) == 2
    assert len(answer.data[0].embedding) == len(answer.data[1].embedding) == 64
    assert answer.data[0].embedding != answer.data[1].embedding


def test_a_prompt_that_is_too_long_is_refused_with_its_numbers(client: openai.OpenAI) -> None:
    long: Any = [{"role": "user", "content": "hello " * 400}]
    with pytest.raises(openai.BadRequestError, match="512") as raised:
        client.chat.completions.create(model="llama:random", messages=long, max_tokens=8)
    assert raised.value.code == "context_length_exceeded"


def test_a_stream_it_breaks_off_without_a_word_is_an_error(client: openai.OpenAI) -> None:
    """Asked to stream an answer to too long a prompt, this server says 200 and closes."""
    long: Any = [{"role": "user", "content": "hello " * 400}]
    with pytest.raises(openai.APIStatusError) as raised:
        list(client.chat.completions.create(model="llama:random", messages=long, max_tokens=8, stream=True))
    assert raised.value.status_code in (400, 502)


def test_a_model_it_does_not_have_is_not_asked_for(client: openai.OpenAI) -> None:
    """It would answer for any name; we know its list."""
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="llama:other", messages=QUESTION)
