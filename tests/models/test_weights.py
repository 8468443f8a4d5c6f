"""Weights of one's own: whatever script they come from, the backbone is loaded or it is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from sambench.errors import ModelError, SambenchWarning
from sambench.models.model import build_model
from sambench.models.weights import find_weights, keep_weights, load_backbone

Save = Callable[[Path, dict[str, Tensor]], Path]


def network(seed: int, name: str = "small-cnn", classes: int = 2, size: int = 32) -> nn.Module:
    torch.manual_seed(seed)
    return build_model(name, classes=classes, image_size=size, pretrained=False)


def as_safetensors(folder: Path, state: dict[str, Tensor]) -> Path:
    path = folder / "w.safetensors"
    save_file(state, path)
    return path


def as_checkpoint(folder: Path, state: dict[str, Tensor]) -> Path:
    path = folder / "w.pt"
    told = {"epoch": torch.tensor(3), "optimizer": {"lr": 0.1}}  # some scripts keep tensors there
    torch.save({**told, "model_state_dict": state}, path)
    return path


def as_state(folder: Path, state: dict[str, Tensor]) -> Path:
    path = folder / "w.pth"
    torch.save(state, path)
    return path


@pytest.mark.parametrize("save", [as_safetensors, as_checkpoint, as_state])
@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.encoder."])
def test_the_backbone_is_loaded_and_the_head_is_new(
    tmp_path: Path, save: Save, prefix: str
) -> None:
    """The file has 1,000 classes, as ImageNet's have; a head of a script lies beside it."""
    source, target = network(1, classes=1000), network(2)
    before = {k: v.clone() for k, v in target.state_dict().items()}
    state = {prefix + k: v for k, v in source.state_dict().items()}
    loaded = load_backbone(target, save(tmp_path, {**state, "projector.weight": torch.ones(3)}))
    *backbone, weight, bias = dict(target.named_parameters())
    for name in backbone:
        assert torch.equal(target.state_dict()[name], source.state_dict()[name]), name
    for name in (weight, bias):
        assert torch.equal(target.state_dict()[name], before[name]), name
    assert loaded.new == (weight, bias)
    head = weight.rpartition(".")[0]
    counted = len([name for name in before if not name.endswith("num_batches_tracked")])
    assert str(loaded) == f"{counted - 2} of {counted} tensors; new: {head}"


def test_the_head_is_new_even_where_its_shape_is_the_file_s(tmp_path: Path) -> None:
    source, target = network(1), network(2)
    before = [p.clone() for p in target.parameters()][-2]
    load_backbone(target, as_safetensors(tmp_path, source.state_dict()))
    assert torch.equal([*target.parameters()][-2], before)


def test_both_heads_of_a_model_for_distillation_are_new(tmp_path: Path) -> None:
    source, target = (network(seed, "timm:deit_tiny_distilled_patch16_224") for seed in (1, 2))
    loaded = load_backbone(target, as_state(tmp_path, source.state_dict()))
    assert loaded.new == ("head.weight", "head.bias", "head_dist.weight", "head_dist.bias")


def test_a_tensor_of_another_shape_is_said(tmp_path: Path) -> None:
    """The small stem of resnet18 has no place for the published one."""
    path = as_safetensors(tmp_path, network(0, "resnet18", size=96).state_dict())
    small = network(1, "resnet18")
    said = (
        r"conv1.weight has the shape \(64, 3, 7, 7\) in .*\(64, 3, 3, 3\) in this network, so it k"
    )
    with pytest.warns(SambenchWarning, match=said):
        assert "conv1.weight" in load_backbone(small, path).new


def test_files_of_old_versions_have_no_batch_counters(tmp_path: Path) -> None:
    state = {
        k: v for k, v in network(1).state_dict().items() if not k.endswith("num_batches_tracked")
    }
    loaded = load_backbone(network(2), as_safetensors(tmp_path, state))
    assert len(loaded.new) == 2


def small_transformer(size: int) -> nn.Module:
    """Build what `vit` is, with fewer and narrower layers."""
    width: dict[str, int] = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 8}
    return VisionTransformer(image_size=size, patch_size=16, num_classes=2, **width)


@pytest.mark.parametrize(
    ("build", "lacks"),
    [
        (partial(network, 1), "1.bias"),
        (partial(network, 1, "timm:vit_tiny_patch16_224"), "pos_embed"),
        (lambda: small_transformer(64), "encoder.pos_embedding"),
    ],
)
def test_a_tensor_that_the_file_lacks_keeps_its_random_values(
    tmp_path: Path, build: Callable[[], nn.Module], lacks: str
) -> None:
    target = build()
    state, before = target.state_dict(), target.state_dict()[lacks].clone()
    loaded = load_backbone(target, as_state(tmp_path, {k: state[k] for k in state if k != lacks}))
    assert lacks in loaded.new
    assert torch.equal(target.state_dict()[lacks], before)


@pytest.mark.parametrize(
    "build",
    [partial(network, 1, "timm:vit_tiny_patch16_224", 2), small_transformer],
    ids=["timm", "torchvision"],
)
def test_position_embeddings_are_interpolated(
    tmp_path: Path, build: Callable[[int], nn.Module]
) -> None:
    """A constant embedding stays constant at any number of patches."""
    source, target = build(64), build(96)
    key = next(k for k in source.state_dict() if k.endswith(("pos_embed", "pos_embedding")))
    state = {k: v.clone() for k, v in source.state_dict().items()}
    state[key][:] = 0.25
    loaded = load_backbone(target, as_safetensors(tmp_path, state))
    assert len(loaded.new) == 2
    torch.testing.assert_close(
        target.state_dict()[key], torch.full_like(target.state_dict()[key], 0.25)
    )


@pytest.mark.parametrize("name", ["deit3_small_patch16_224", "vit_small_patch14_reg4_dinov2"])
def test_position_embeddings_are_interpolated_as_timm_does(tmp_path: Path, name: str) -> None:
    """These have a class's token, and registers, without a position."""
    patch = 14 if "14" in name else 16
    shape: dict[str, Any] = {"depth": 1, "embed_dim": 12, "num_heads": 2, "num_classes": 3}
    source = timm.create_model(name, img_size=6 * patch, **shape)
    nn.init.normal_(source.pos_embed)
    path = as_state(tmp_path, source.state_dict())
    told = {"file": str(path), "num_classes": 3}
    small = {**shape, "img_size": 4 * patch}
    theirs = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=told, **small)
    target = timm.create_model(name, **small)
    assert load_backbone(target, path).new == ("head.weight", "head.bias")
    assert torch.equal(target.pos_embed, theirs.pos_embed)


@pytest.mark.parametrize(
    ("name", "fits"),
    [("cait_xxs24_224", True), ("pit_ti_224", False), ("hiera_tiny_224", False)],
)
def test_position_embeddings_of_other_forms_do_not_end_in_a_traceback(
    tmp_path: Path, name: str, fits: bool
) -> None:
    """PiT's are pictures and Hiera's have no grid: these keep their random values, as is said."""
    source, target = network(1, f"timm:{name}", size=128), network(2, f"timm:{name}", size=64)
    said = nullcontext() if fits else pytest.warns(SambenchWarning, match="^pos_embed has the sha")
    with said:
        loaded = load_backbone(target, as_state(tmp_path, source.state_dict()))
    assert ("pos_embed" in loaded.new) is not fits


def test_another_network_s_weights_are_refused(tmp_path: Path) -> None:
    path = as_safetensors(tmp_path, network(1, "resnet18").state_dict())
    with pytest.raises(ModelError, match=r"are another network's: they fill 0 % .* it has no '.*'"):
        load_backbone(network(2), path)


def test_a_network_that_a_file_holds_twice_is_said_to_be_loaded_from_the_first(
    tmp_path: Path,
) -> None:
    """As that of the queries and that of the keys in a file of MoCo."""
    one, two, target = network(1), network(2), network(3)
    both = {f"{of}.{k}": v for of, n in (("q", one), ("k", two)) for k, v in n.state_dict().items()}
    with pytest.warns(SambenchWarning, match=r"under 'q\.' and under 'k\.': the first is loaded"):
        load_backbone(target, as_state(tmp_path, both))
    assert torch.equal(target.get_parameter("0.weight"), one.get_parameter("0.weight"))


@pytest.mark.parametrize("kind", [torch.int8, torch.complex64])
def test_numbers_of_another_kind_are_no_weights(tmp_path: Path, kind: torch.dtype) -> None:
    state = {name: (100 * tensor).to(kind) for name, tensor in network(1).state_dict().items()}
    with pytest.raises(ModelError, match=rf"'0.weight' .*, but one of \(16, 3, 3, 3\) and {kind}"):
        load_backbone(network(2), as_state(tmp_path, state))


def test_a_file_of_safetensors_may_have_any_name(tmp_path: Path) -> None:
    path = as_safetensors(tmp_path, network(1).state_dict()).rename(tmp_path / "weights.bin")
    sha256 = keep_weights(path, tmp_path)
    assert (
        str(load_backbone(network(2), find_weights(sha256, tmp_path)))
        == "20 of 22 tensors; new: 17"
    )


class Payload:
    """What a pickle may run; it must not be."""

    def __reduce__(self) -> Any:
        return (print, ("run",))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "are not there; check --weights"),
        (lambda path: path.write_bytes(b"no weights"), "cannot be read|could run code"),
        (lambda path: path.write_bytes(b"hello"), "cannot be read"),
        (lambda path: torch.save(Payload(), path), "could run code"),
        (lambda path: torch.save({"epoch": 3}, path), "hold no state_dict"),
    ],
    ids=["missing", "damaged", "text", "code", "empty"],
)
def test_files_that_are_no_weights(
    tmp_path: Path, make: Callable[[Path], Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "w.pt"
    make(path)
    with pytest.raises(ModelError, match=said) as refused:
        load_backbone(network(0), path)
    assert "\n" not in str(refused.value)
    assert capsys.readouterr().out == ""


@pytest.mark.real
def test_real_imagenet_weights(real_data: Path) -> None:
    path = real_data.parent / "weights" / "tf_efficientnet_lite0.safetensors"
    if not path.is_file():
        pytest.skip("no weights beside the real images")
    loaded = load_backbone(network(0, "timm:tf_efficientnet_lite0", size=64), path)
    assert str(loaded) == "245 of 247 tensors; new: classifier"


def test_a_file_is_kept_once_under_its_checksum(tmp_path: Path) -> None:
    file, data = as_safetensors(tmp_path, network(1).state_dict()), tmp_path / "data"
    sha256 = keep_weights(file, data)
    assert sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    kept = find_weights(sha256, data)
    assert kept.read_bytes() == file.read_bytes()
    before = kept.stat().st_mtime_ns
    assert keep_weights(file, data) == sha256
    assert kept.stat().st_mtime_ns == before
    assert len(list(kept.parent.iterdir())) == 1


def test_weights_that_are_not_kept_or_damaged_are_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="give their file once with --weights FILE"):
        find_weights("0" * 64, tmp_path)
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        keep_weights(tmp_path / "none.pt", tmp_path)
    useless = tmp_path / "useless.pt"
    torch.save({"epoch": 3}, useless)
    with pytest.raises(ModelError, match=r"the weights .*useless.pt hold no state_dict"):
        keep_weights(useless, tmp_path)
    sha256 = keep_weights(as_state(tmp_path, network(1).state_dict()), tmp_path)
    kept = find_weights(sha256, tmp_path)
    content = bytearray(kept.read_bytes())
    content[-1] ^= 1
    kept.write_bytes(content)
    with pytest.raises(ModelError, match="are damaged; remove this file and give --weights"):
        load_backbone(network(2), kept, sha256)
