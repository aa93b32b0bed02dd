"""Vectors of products from their pictures too: a small CLIP with random weights stands for a real one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.catalog import decode_item
from models.image_encoder import ImageEncoder
from models.weights import ModelError
from schemas.errors import SettingsError
from schemas.events import ProductUpserted
from streams.imaging import Imaging, file_of
from streams.settings import Settings
from tests.streams.shop import SETTINGS, Shop, product

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of a few thousand weights, as a folder of Hugging Face files."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(7)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={**small, "vocab_size": 64, "max_position_embeddings": 16},
        vision_config={**small, "image_size": 32, "patch_size": 8},
        projection_dim=24,
    )
    folder = tmp_path_factory.mktemp("clip")
    CLIPModel(config).save_pretrained(folder)
    prepare = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}, "do_center_crop": True}
    (folder / "preprocessor_config.json").write_text(json.dumps(prepare))
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for name, colour in (("red.png", (220, 20, 20)), ("crimson.png", (200, 30, 30)), ("tea-1.jpg", (20, 200, 20))):
        Image.new("RGB", (64, 48), colour).save(folder / name)
    (folder / "broken.png").write_bytes(b"not a picture")
    return folder


def test_a_picture_becomes_a_unit_vector_and_a_broken_file_none(clip: Path, pictures: Path) -> None:
    red, crimson, green, broken, missing = ImageEncoder(str(clip)).encode(
        [pictures / name for name in ("red.png", "crimson.png", "tea-1.jpg", "broken.png", "nothing.png")]
    )

    assert broken is None and missing is None
    assert red is not None and crimson is not None and green is not None
    assert red.shape == (24,) and np.linalg.norm(red) == pytest.approx(1.0, abs=1e-5)
    assert red @ crimson > red @ green


def test_a_model_that_is_no_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="HEADRACE_IMAGE_ENCODER"):
        ImageEncoder(str(tmp_path)).load()


@pytest.fixture
async def imaging(clip: Path, pictures: Path) -> AsyncIterator[Imaging]:
    one = Imaging(str(clip), pictures)
    yield one
    await one.close()


async def test_items_with_like_pictures_are_alike_and_items_without_are_as_before(imaging: Imaging) -> None:
    plain, seeing = Shop(), Shop()
    seeing.settings = replace(SETTINGS, image_weight=0.5)
    seeing.pipeline = seeing.worker()
    seeing.pipeline.imaging = imaging
    records = [
        product("tea-0", "Sencha leaves", category="food/tea", image_url="https://cdn.shop.example/p/red.png?w=300"),
        product("cup-0", "Porcelain vessel", category="home/cups", image_url="crimson.png"),
        product("tea-1", "Sencha leaves", category="food/tea"),  # its picture has its id for a name
        product("pot-0", "Iron kettle", category="home/pots", image_url="https://cdn.shop.example/unknown.png"),
    ]
    for shop in (plain, seeing):
        await shop.store.open()
        await shop.feed("catalog", *records)

    async def vectors(shop: Shop) -> dict[str, np.ndarray]:
        held = await shop.store.held_items([one["product_id"] for one in records])
        return {item.product_id: item.vector for data in held if data is not None for item in [decode_item(data)]}

    words, both = await vectors(plain), await vectors(seeing)
    assert both["tea-0"] @ both["cup-0"] > words["tea-0"] @ words["cup-0"] + 0.3
    assert both["tea-0"] @ both["tea-1"] < words["tea-0"] @ words["tea-1"]
    assert np.array_equal(both["pot-0"], words["pot-0"])


async def test_a_text_only_catalogue_loses_nothing(imaging: Imaging) -> None:
    plain, seeing = Shop(), Shop()
    seeing.settings = replace(SETTINGS, image_weight=0.9)
    seeing.pipeline = seeing.worker()
    seeing.pipeline.imaging = imaging
    for shop in (plain, seeing):
        await shop.store.open()
        await shop.feed("catalog", *(product(f"p{i}", f"Green tea {i}", category="food/tea") for i in range(5)))

    ids = [f"p{i}" for i in range(5)]
    assert await plain.store.held_items(ids) == await seeing.store.held_items(ids)
    assert not imaging._child.started  # nothing to look at, nothing started


@pytest.mark.parametrize(
    "url",
    ["https://cdn.example/../../etc/passwd", "..%2f..%2fetc%2fpasswd", "/etc/passwd", "https://x/%2e%2e", "a\x00b", "C:\\x.png"],
)
def test_an_address_does_not_lead_out_of_the_folder(url: str, pictures: Path) -> None:
    one = ProductUpserted(product_id="../red", name="x", price=1.0, currency="USD", image_url=url)

    assert file_of(one, pictures) is None


def test_a_model_without_pictures_or_pictures_without_a_model_is_said_at_the_start(tmp_path: Path) -> None:
    for given in (
        {"HEADRACE_IMAGE_ENCODER": "org/clip"},
        {"HEADRACE_IMAGES": str(tmp_path)},
        {"HEADRACE_IMAGES": "/no/such", "HEADRACE_IMAGE_ENCODER": "a"},
    ):
        with pytest.raises(SettingsError, match="HEADRACE_IMAGES"):
            Settings.read(given)
