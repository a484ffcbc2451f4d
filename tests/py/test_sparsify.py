"""Sparsifiers and sparsify_: what is kept, what training under a sparsifier does, and what becomes of the layers."""

import copy
import io

import pytest
import reference
import torch
from torch import nn
from torchao_ops import (
    Int8DynamicActivationInt8SemiSparseWeightConfig,
    Int8WeightOnlyConfig,
    SemiSparseWeightConfig,
    Sparse24Linear,
    WandaSparsifier,
    WeightNormSparsifier,
    quantize_,
    sparsify_,
)

pytestmark = pytest.mark.usefixtures("device")

SPARSIFIERS = [WeightNormSparsifier, WandaSparsifier]


def small_model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(70, 48), nn.GELU(), nn.Linear(48, 33, bias=False))


def kept_of_each_four(weight: torch.Tensor) -> torch.Tensor:
    rows, columns = weight.shape
    return nn.functional.pad(weight != 0, (0, -columns % 4)).view(rows, -1, 4).sum(-1)


def is_2_of_4(weight: torch.Tensor) -> bool:
    return bool((kept_of_each_four(weight) <= 2).all())


def prepared(sparsifier, model, x=None):
    sparsifier.prepare(model)
    model(torch.randn(16, 70) if x is None else x)
    sparsifier.step()
    return model


@pytest.mark.parametrize("sparsifier_class", SPARSIFIERS)
def test_from_prepare_to_sparse_layers(sparsifier_class):
    model, sparsifier, x = small_model(), sparsifier_class(), torch.randn(5, 70)
    before = copy.deepcopy(model)
    sparsifier.prepare(model)
    assert torch.equal(model(x), before(x)), "nothing is pruned before step"
    sparsifier.step()
    assert not torch.equal(model(x), before(x))
    pruned = model(x)
    sparsifier.squash_mask()
    assert torch.equal(model(x), pruned)
    assert model.state_dict().keys() == before.state_dict().keys()
    for layer, dense in ((model[0], before[0]), (model[2], before[2])):
        assert type(layer) is nn.Linear and isinstance(layer.weight, nn.Parameter)
        assert is_2_of_4(layer.weight)
        kept = layer.weight != 0
        assert torch.equal(layer.weight[kept], dense.weight[kept])
    sparsify_(model, SemiSparseWeightConfig())
    assert isinstance(model[0], Sparse24Linear) and isinstance(model[2], Sparse24Linear)
    assert reference.relative_error(model(x), pruned) < 8 * torch.finfo(torch.float32).eps


def test_magnitude_keeps_the_two_largest():
    model = nn.Linear(8, 1, bias=False)
    model.weight.data = torch.tensor([[1.0, -4, 3, 2, -1, 1, 1, -1]])
    sparsifier = WeightNormSparsifier()
    prepared(sparsifier, model, torch.randn(3, 8))
    sparsifier.squash_mask()
    assert model.weight.tolist() == [[0, -4, 3, 0, -1, 1, 0, 0]]


def test_wanda_keeps_the_two_largest_times_the_norm_of_their_inputs():
    model, x = nn.Linear(64, 48), torch.randn(2, 7, 64) * torch.logspace(-2, 2, 64)
    weight = model.weight.detach().clone()
    sparsifier = WandaSparsifier(sparsity_level=0.5, semi_structured_block_size=4)
    sparsifier.prepare(model)
    for part in x:  # the inputs of all calls count
        model(part)
    sparsifier.step()
    sparsifier.squash_mask()
    importance = (weight.abs() * x.view(-1, 64).norm(dim=0)).view(48, 16, 4)
    least = importance.topk(2, largest=False).indices
    expected = weight.view(48, 16, 4).scatter(2, least, 0).view(48, 64)
    assert torch.equal(model.weight, expected)
    assert not model._forward_pre_hooks


def test_wanda_is_nearer_to_the_dense_layer_than_magnitude():
    dense, x = nn.Linear(256, 64), torch.randn(64, 256) * torch.logspace(-1, 1, 256)[torch.randperm(256)]
    errors = []
    for sparsifier in (WeightNormSparsifier(), WandaSparsifier()):
        model = prepared(sparsifier, copy.deepcopy(dense), x)
        errors.append(reference.relative_error(model(x), dense(x)))
    assert errors[1] < 0.8 * errors[0]


def test_training_under_a_sparsifier_leaves_what_is_pruned_at_zero():
    model, x = small_model(), torch.randn(32, 70)
    target = torch.randn(32, 33)
    sparsifier = WeightNormSparsifier()
    prepared(sparsifier, model, x)
    masks = [model[i].weight != 0 for i in (0, 2)]
    original = model[0].parametrizations.weight.original
    before = original.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    losses = []
    for _ in range(30):
        loss = (model(x) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert torch.equal(original[~masks[0]], before[~masks[0]]), "what is pruned gets no gradient"
    assert not torch.equal(original[masks[0]], before[masks[0]])
    sparsifier.squash_mask()
    for i, mask in zip((0, 2), masks, strict=True):
        assert not model[i].weight[~mask].any()


def test_step_chooses_anew_from_the_dense_weight():
    model = nn.Linear(4, 1, bias=False)
    model.weight.data = torch.tensor([[4.0, 3, 2, 1]])
    sparsifier = WeightNormSparsifier()
    prepared(sparsifier, model, torch.randn(1, 4))
    assert model.weight.tolist() == [[4, 3, 0, 0]]
    with torch.no_grad():
        model.parametrizations.weight.original[0, 0] = 0.5
    sparsifier.step()
    assert model.weight.tolist() == [[0, 3, 2, 0]]


@pytest.mark.parametrize("sparsifier_class", SPARSIFIERS)
def test_layers_that_share_a_weight_keep_the_same_of_it(sparsifier_class):
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))
    model[1].weight = model[0].weight
    sparsifier = sparsifier_class()
    prepared(sparsifier, model, torch.randn(9, 64))
    assert torch.equal(model[0].weight, model[1].weight) and is_2_of_4(model[0].weight)
    sparsifier.squash_mask()
    assert model[0].weight is model[1].weight
    sparsify_(model)
    assert model[0].weight_values is model[1].weight_values


@pytest.mark.parametrize("sparsifier_class", SPARSIFIERS)
def test_config_names_the_weights(sparsifier_class):
    model, sparsifier = small_model(), sparsifier_class()
    sparsifier.prepare(model, config=[{"tensor_fqn": "2.weight"}])
    model(torch.randn(5, 70))
    sparsifier.step()
    assert not is_2_of_4(model[0].weight) and is_2_of_4(model[2].weight)
    with pytest.raises(RuntimeError) as error:
        sparsifier.prepare(small_model())
    name = sparsifier_class.__name__
    assert str(error.value) == f"{name}.prepare: squash_mask must be called before the next model, but was not"
    for wrong in ("1.weight", "2.bias", "weight"):
        with pytest.raises(ValueError) as error:
            sparsifier_class().prepare(small_model(), [{"tensor_fqn": "0.weight"}, {"tensor_fqn": wrong}])
        assert str(error.value) == (
            f"{name}.prepare: tensor_fqn must name the weight of a linear layer that quantize_ converts, but got {wrong!r}"
        )
    alone = nn.Linear(8, 8)
    sparsifier_class().prepare(alone, [{"tensor_fqn": "weight"}])
    assert hasattr(alone, "parametrizations")


def test_a_wrong_name_leaves_the_model_alone():
    model = small_model()
    with pytest.raises(ValueError):
        WandaSparsifier().prepare(model, [{"tensor_fqn": "0.weight"}, {"tensor_fqn": "nothing"}])
    assert type(model[0]) is nn.Linear and not model[0]._forward_pre_hooks


@pytest.mark.parametrize("sparsifier_class", SPARSIFIERS)
def test_methods_out_of_order(sparsifier_class):
    name = sparsifier_class.__name__
    for method in ("step", "squash_mask"):
        with pytest.raises(RuntimeError) as error:
            getattr(sparsifier_class(), method)()
        assert str(error.value) == f"{name}.{method}: prepare must be called before, but was not"


def test_wanda_needs_inputs():
    model, sparsifier = small_model(), WandaSparsifier()
    sparsifier.prepare(model)
    with pytest.raises(RuntimeError) as error:
        sparsifier.step()
    assert str(error.value) == "WandaSparsifier.step: the model must be run on typical inputs before, but was not"
    model(torch.full((1, 70), float("nan")))
    with pytest.raises(ValueError) as error:
        sparsifier.step()
    assert str(error.value) == (
        "WandaSparsifier.step: the inputs that 0.weight multiplies must be finite, but got NaN or Inf"
    )


def test_wanda_prunes_what_no_input_reached_by_magnitude():
    model = nn.ModuleList([nn.Linear(64, 8), nn.Linear(64, 8)])
    by_magnitude = copy.deepcopy(model[1])
    sparsifier = WandaSparsifier()
    sparsifier.prepare(model)
    model[0](torch.randn(3, 64))
    with pytest.warns(UserWarning, match="no input reached 1.weight, which is pruned by magnitude"):
        sparsifier.step()
    prepared(WeightNormSparsifier(), by_magnitude, torch.randn(3, 64))
    assert torch.equal(model[1].weight, by_magnitude.weight)


@pytest.mark.parametrize("sparsifier_class", SPARSIFIERS)
@pytest.mark.parametrize(
    "arguments, text",
    [
        ({"sparsity_level": 0.75}, "sparsity_level must be 0.5 (2:4 sparsity), but got 0.75"),
        ({"semi_structured_block_size": None}, "semi_structured_block_size must be 4 (2:4 sparsity), but got None"),
    ],
)
def test_other_sparsities_are_refused(sparsifier_class, arguments, text):
    with pytest.raises(ValueError) as error:
        sparsifier_class(**arguments)
    assert str(error.value) == f"{sparsifier_class.__name__}: {text}"


@pytest.mark.parametrize("config", [SemiSparseWeightConfig(), Int8DynamicActivationInt8SemiSparseWeightConfig()])
def test_sparsify_prunes_a_dense_weight_by_magnitude_and_says_so(config):
    model, expected = nn.Linear(70, 48), nn.Linear(70, 48)
    expected.load_state_dict(model.state_dict())
    sparsifier = WeightNormSparsifier()
    prepared(sparsifier, expected, torch.randn(1, 70))
    sparsifier.squash_mask()
    with pytest.warns(
        UserWarning, match=f"{type(config).__name__}: a weight was not 2:4 sparse and has been pruned by magnitude"
    ):
        sparsify_(model, config)
    sparsify_(expected, config)
    assert torch.equal(model.weight, expected.weight)


@pytest.mark.filterwarnings("error")
def test_sparsify_says_nothing_of_a_sparse_weight():
    model, sparsifier = small_model(), WeightNormSparsifier()
    prepared(sparsifier, model)
    sparsifier.squash_mask()
    sparsify_(model)


def test_sparsify_takes_configs_of_sparse_weights_only():
    with pytest.raises(TypeError) as error:
        sparsify_(nn.Linear(8, 8), Int8WeightOnlyConfig())
    assert str(error.value) == (
        "sparsify_: config must be a SemiSparseWeightConfig or Int8DynamicActivationInt8SemiSparseWeightConfig, but got "
        "Int8WeightOnlyConfig(group_size=None)"
    )


def test_sparsify_under_a_sparsifier_is_refused():
    model, sparsifier = small_model(), WeightNormSparsifier()
    prepared(sparsifier, model)
    with pytest.raises(RuntimeError) as error:
        sparsify_(model)
    assert str(error.value) == ("sparsify_: 0.weight must be final, but its sparsifier's squash_mask was not called")


def test_filter_fn():
    model = small_model()
    with pytest.warns(UserWarning):
        sparsify_(model, SemiSparseWeightConfig(), lambda module, name: name == "2")
    assert type(model[0]) is nn.Linear and isinstance(model[2], Sparse24Linear)


def test_int8_values_cost_a_hundredth():
    model, x = small_model(), torch.randn(64, 70)
    sparsifier = WeightNormSparsifier()
    prepared(sparsifier, model, x)
    sparsifier.squash_mask()
    expected = model(x)
    sparsify_(model, Int8DynamicActivationInt8SemiSparseWeightConfig())
    assert model[0].weight_values.dtype == torch.int8
    assert reference.relative_error(model(x), expected) < 0.02


def test_a_model_under_a_sparsifier_is_saved_and_loaded():
    model, sparsifier, x = small_model(), WeightNormSparsifier(), torch.randn(3, 70)
    prepared(sparsifier, model)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other = small_model()
    WeightNormSparsifier().prepare(other)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(x), model(x))


def test_quantize_takes_the_short_names():
    model = small_model()
    with pytest.warns(UserWarning):
        quantize_(model, "sparse24")
    assert isinstance(model[0], Sparse24Linear) and model[0].weight_scale is None
