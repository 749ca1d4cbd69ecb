"""The recorded files themselves."""

import hashlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "official-tiny"
SHA256 = {
    "cfack_tiny_official.th": "225429c3525097a258910b98a6493aa6a4aad5fc8287616fb14b0fa3cb5bc0f7",
    "cfack_tiny_official_nomlm.th": "7ceb3e44c085dd64d2b0a841ccb735b5365d8b12a501e4e825c5d0dccc23e478",
    "inputs.safetensors": "e8cd7aec7ab58c97c9ef3ccb5c80f6683a0a806b443fa276bd9b84deb570bbfc",
    "outputs.safetensors": "0aca502f08e4b069d1c7f5842d62814279399df71ffdb244c24869e465b2d8ec",
    "outputs_nomlm.safetensors": "08cab3b95628248b55aa78c626b5189f13686f83693324dc2179bf455642ddd3",
    "resolution_96.safetensors": "ad53e55b9d3fad84c28387e1a96e0abc2d5c6653f46eea9c98e53606a47357a4",
    "config.json": "dd9b0eecc60c035ab2b42322239737d84dae2e9d0310ed15fe0c2cb6ccefd5a2",
}


@pytest.mark.parametrize("name", SHA256)
def test_a_recorded_file_is_there_and_unchanged(name: str) -> None:
    assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == SHA256[name]
