"""Applying a configuration file in a test, the way a person does: a file, the command, what it printed."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.services import free_port

# As it stands in the document that introduced it.
SAMPLE: dict[str, Any] = {
    "LLMProviders": {
        "Providers": [
            {
                "Type": "OpenAI",
                "Name": "openai-primary",
                "Enabled": True,
                "Priority": 1,
                "Configuration": {
                    "BaseUrl": "https://api.openai.com/v1",
                    "ApiKey": "${OPENAI_API_KEY}",
                    "DefaultModel": "gpt-4o",
                    "MaxTokens": 4096,
                },
            },
            {
                "Type": "Ollama",
                "Name": "ollama-local",
                "Enabled": True,
                "Priority": 2,
                "Configuration": {"BaseUrl": "http://localhost:11434", "DefaultModel": "llama3.1"},
            },
            {
                "Type": "AzureOpenAI",
                "Name": "azure-eu",
                "Enabled": True,
                "Priority": 3,
                "Configuration": {
                    "Endpoint": "https://myresource.openai.azure.com/",
                    "ApiKey": "${AZURE_OPENAI_KEY}",
                    "DeploymentName": "gpt-4o-deployment",
                    "ApiVersion": "2024-02-01",
                },
            },
        ],
        "Routing": {
            "Strategy": "PriorityWithFallback",
            "HealthCheckInterval": "00:00:30",
            "FailoverThreshold": 3,
        },
    }
}


class Files:
    """`files.apply({...})` or `files.apply("yaml: text")` gives what was printed; `refused` the faults."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, content: Any) -> str:
        text = content if isinstance(content, str) else json.dumps(content)
        file = self.folder / ("house.json" if text[:1] in ("{", "[") else "house.yaml")
        file.write_text(text)
        return str(file)

    def apply(self, content: Any, *words: str) -> str:
        return self._run(content, "--yes", *words)

    def plan(self, content: Any, *words: str) -> str:
        return self._run(content, *words)

    def refused(self, content: Any) -> list[str]:
        """Each fault as `path: message`, without the head line."""
        with pytest.raises(CommandError) as caught:
            self._run(content, "--yes")
        head, *faults = str(caught.value).splitlines()
        assert head.endswith("nothing was changed.")
        return [fault.strip() for fault in faults]

    def _run(self, content: Any, *words: str) -> str:
        out = io.StringIO()
        call_command("apply", self.write(content), *words, stdout=out)
        return out.getvalue()


def nowhere() -> str:
    """An address of this machine where nothing listens."""
    return f"http://127.0.0.1:{free_port()}/v1"


def export(kind: str = "yaml") -> str:
    out = io.StringIO()
    call_command("export", "--format", kind, stdout=out)
    return out.getvalue()
