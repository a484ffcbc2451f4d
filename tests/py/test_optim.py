"""AdamW in 8 and 4 bits and GaLore, against torch.optim.AdamW and their formulas."""

import copy
import functools
import io

import pytest
import reference
import torch
from torch import nn
from torchao_ops.optim import AdamW4bit, AdamW8bit, GaLoreAdamW, GaLoreAdamW8bit
from torchao_ops.optim.moments import Float32Moments, Int4Moments, Int8Moments

pytestmark = pytest.mark.usefixtures("device")

OPTIMIZERS = [AdamW8bit, AdamW4bit, GaLoreAdamW, GaLoreAdamW8bit]
LOW_BIT = [AdamW8bit, AdamW4bit]
SETTINGS = {"lr": 3e-3, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}


def parameter(*shape: int, dtype: torch.dtype = torch.float32) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape).to(dtype))


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    return sum(
        value.untyped_storage().nbytes()
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    )


def steps(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], count: int, seed: int = 1) -> None:
    """Random gradients."""
    generator = torch.Generator(parameters[0].device).manual_seed(seed)
    for _ in range(count):
        for one in parameters:
            one.grad = torch.randn(one.shape, generator=generator, device=one.device).to(one.dtype)
        optimizer.step()


@pytest.mark.parametrize("moments, tolerance", [(Int8Moments(), 0.02), (Int4Moments(), 0.2)], ids=["8bit", "4bit"])
@pytest.mark.parametrize("shape", [(64, 100), (5000,), (3, 5, 700), (4097,)])
def test_moments_come_back(moments, tolerance, shape):
    """Gradients whose sizes differ by three orders of magnitude within a block."""
    gradients = torch.randn(shape) * 10 ** (3 * torch.rand(shape) - 3)
    state = moments.encode(gradients, gradients.square())
    first, second = moments.decode(state, gradients.shape)
    assert first.shape == second.shape == gradients.shape
    assert reference.relative_error(first, gradients) < tolerance
    assert reference.relative_error(second, gradients.square()) < tolerance
    assert (first.sign() * gradients >= 0).all()
    # No element is divided by much less than it should be: half a step of the root at least.
    assert ((first.abs() + 1e-30) / (second.sqrt() + 1e-30)).max() < 20


@pytest.mark.parametrize("moments", [Int8Moments(), Int4Moments()], ids=["8bit", "4bit"])
def test_small_second_moments_do_not_become_zero(moments):
    second = torch.full((4096,), 1e-20)
    second[::128] = 1.0
    _, decoded = moments.decode(moments.encode(torch.zeros(4096), second), second.shape)
    assert 0 < decoded.min() < 1e-4
    torch.testing.assert_close(decoded[::128], second[::128])
    first, second = moments.decode(moments.encode(torch.zeros(4096), torch.zeros(4096)), second.shape)
    assert not first.any() and not second.any()


@pytest.mark.parametrize("optimizer_class", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_first_step_is_torchs(optimizer_class, dtype):
    """Its moments have not been rounded yet."""
    ours, theirs = parameter(80, 70, dtype=dtype), None
    theirs = nn.Parameter(ours.detach().float())
    steps(optimizer_class([ours], **SETTINGS), [ours], 1)
    theirs.grad = ours.grad.float()
    torch.optim.AdamW([theirs], **SETTINGS).step()
    torch.testing.assert_close(ours.detach(), theirs.detach().to(dtype))


@pytest.mark.parametrize("optimizer_class", OPTIMIZERS)
def test_small_parameters_are_torchs_at_every_step(optimizer_class):
    ours, other = parameter(63, 65), parameter(7)
    theirs = [copy.deepcopy(ours), copy.deepcopy(other)]
    groups = [{"params": [ours]}, {"params": [other], "lr": 0.1, "weight_decay": 0.0}]
    steps(optimizer_class(groups, **SETTINGS), [ours, other], 7)
    groups = [{"params": theirs[:1]}, {"params": theirs[1:], "lr": 0.1, "weight_decay": 0.0}]
    steps(torch.optim.AdamW(groups, **SETTINGS), theirs, 7)
    torch.testing.assert_close([ours.detach(), other.detach()], [one.detach() for one in theirs])


@pytest.mark.parametrize("optimizer_class, tolerance", [(AdamW8bit, 0.05), (AdamW4bit, 0.4)])
def test_later_steps_are_near_torchs(optimizer_class, tolerance):
    ours = parameter(64, 128)
    before, theirs = ours.detach().clone(), copy.deepcopy(ours)
    steps(optimizer_class([ours], lr=1e-2), [ours], 20)
    steps(torch.optim.AdamW([theirs], lr=1e-2), [theirs], 20)
    assert reference.relative_error(ours.detach() - before, theirs.detach() - before) < tolerance


class Classifier(nn.Sequential):
    """Learns which of 10 random directions an input is nearest to."""

    def __init__(self, dtype: torch.dtype) -> None:
        torch.manual_seed(0)
        super().__init__(
            nn.Linear(64, 128), nn.GELU(), nn.LayerNorm(128), nn.Linear(128, 128), nn.GELU(), nn.Linear(128, 10)
        )
        self.to(dtype)
        self.directions = torch.randn(64, 10)

    def losses(self, optimizer: torch.optim.Optimizer, count: int) -> list[float]:
        generator = torch.Generator(self.directions.device).manual_seed(2)
        losses = []
        for _ in range(count):
            x = torch.randn(64, 64, generator=generator, device=self.directions.device)
            target = (x @ self.directions).argmax(-1)
            loss = nn.functional.cross_entropy(self(x.to(self[0].weight.dtype)).float(), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses


def smooth(losses: list[float]) -> torch.Tensor:
    return torch.tensor(losses, device="cpu").view(-1, 25).mean(1)


@functools.cache
def torchs_losses(device: str) -> torch.Tensor:
    model = Classifier(torch.float32)
    return smooth(model.losses(torch.optim.AdamW(model.parameters(), lr=3e-3), 300))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("optimizer_class, tolerance", [(AdamW8bit, 0.03), (AdamW4bit, 0.1)])
def test_the_losses_of_a_training_go_together(optimizer_class, tolerance, dtype, device):
    in_fp32 = dtype == torch.float32
    expected = torchs_losses(device)
    assert expected[-1] < 0.3 * expected[0]
    model = Classifier(dtype)
    # bf16 is slow on CPUs without instructions for it.
    losses = smooth(model.losses(optimizer_class(model.parameters(), lr=3e-3), 300 if in_fp32 else 100))
    expected = expected[: len(losses)]
    assert ((losses - expected).abs() / expected).max() < tolerance + (0 if in_fp32 else 0.1)


@pytest.mark.parametrize("optimizer_class", [GaLoreAdamW, GaLoreAdamW8bit])
def test_galore_trains(optimizer_class, device):
    model = Classifier(torch.float32)
    matrices = [one for one in model.parameters() if one.dim() == 2]
    others = [one for one in model.parameters() if one.dim() != 2]
    groups = [{"params": others}, {"params": matrices, "rank": 32, "update_proj_gap": 50, "scale": 1.0}]
    losses = smooth(model.losses(optimizer_class(groups, lr=3e-3), 300))
    assert losses[-1] < 0.5 * losses[0]
    assert losses[-1] < 2 * torchs_losses(device)[-1]


@pytest.mark.parametrize(
    "optimizer, bits",
    [
        (lambda params: torch.optim.AdamW(params), 64),
        (AdamW8bit, 2 * (8 + 32 / 256)),
        (AdamW4bit, 2 * (4 + 32 / 128)),
        # Two moments of 32 bits for 16 of 128 columns, and the projection.
        (lambda params: GaLoreAdamW(params, rank=16), (2 * 32 * 512 * 16 + 32 * 128 * 16) / (512 * 128)),
    ],
    ids=["torch", "8bit", "4bit", "galore"],
)
def test_memory(optimizer, bits):
    one = parameter(512, 128)
    optimizer = optimizer([one])
    steps(optimizer, [one], 2)
    step_bytes = 4 if isinstance(optimizer, torch.optim.AdamW) else 0
    assert state_bytes(optimizer) - step_bytes == bits * one.numel() / 8


@pytest.mark.parametrize("optimizer_class", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_state_dict_continues_with_the_same_bits(optimizer_class, dtype):
    settings = {"rank": 40, "update_proj_gap": 3} if issubclass(optimizer_class, GaLoreAdamW) else {}
    ours = [parameter(128, 80, dtype=dtype), parameter(7, dtype=dtype), parameter(90, 120, dtype=dtype)]
    optimizer = optimizer_class([{"params": ours[:2], **settings}, {"params": ours[2:], "lr": 0.1}])
    steps(optimizer, ours, 4)

    others = copy.deepcopy(ours)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    other = optimizer_class([{"params": others[:2]}, {"params": others[2:]}])
    other.load_state_dict(torch.load(file, weights_only=True))
    for mine, loaded in zip(ours, others, strict=True):
        assert optimizer.state[mine].keys() == other.state[loaded].keys()
        for name, value in optimizer.state[mine].items():
            same = other.state[loaded][name]
            assert torch.equal(value, same) and value.dtype == same.dtype if name != "step" else value == same, name

    steps(optimizer, ours, 3, seed=2)
    steps(other, others, 3, seed=2)
    assert all(torch.equal(mine, loaded) for mine, loaded in zip(ours, others, strict=True))


@pytest.mark.parametrize("shape", [(100, 60), (60, 100), (80, 80)])
def test_a_step_of_galore_is_its_formula(shape):
    one = parameter(*shape)
    before = one.detach().clone()
    optimizer = GaLoreAdamW([one], lr=0.01, weight_decay=0.1, rank=8, update_proj_gap=2, scale=0.5)
    first = second = 0
    expected, projection = before.double(), None
    for i in range(5):
        steps(optimizer, [one], 1, seed=i)
        gradient = one.grad.double()
        if i % 2 == 0:
            left, _, right = torch.linalg.svd(gradient)
            projection = right[:8].T if shape[0] >= shape[1] else left[:, :8]
        low = gradient @ projection if shape[0] >= shape[1] else projection.T @ gradient
        # The signs of singular vectors are arbitrary: carried over from what the optimizer has.
        signs = torch.sign((projection * optimizer.state[one]["projection"]).sum(0))
        projection = projection * signs
        low = low * (signs if shape[0] >= shape[1] else signs[:, None])
        first, second = 0.9 * first + 0.1 * low, 0.999 * second + 0.001 * low.square()
        change = (first / (1 - 0.9 ** (i + 1))) / ((second / (1 - 0.999 ** (i + 1))).sqrt() + 1e-8)
        back = change @ projection.T if shape[0] >= shape[1] else projection @ change
        expected = expected * (1 - 0.01 * 0.1) - 0.01 * 0.5 * back
    torch.testing.assert_close(one.detach(), expected.float(), atol=1e-4, rtol=1e-3)


def test_galore_leaves_what_is_no_large_matrix_to_adamw():
    ours = [parameter(5000), parameter(8, 600), parameter(64, 9)]
    theirs = copy.deepcopy(ours)
    optimizer = GaLoreAdamW([{"params": ours[:2], "rank": 8}, {"params": ours[2:]}])
    steps(optimizer, ours, 3)
    steps(torch.optim.AdamW(theirs), theirs, 3)
    torch.testing.assert_close([one.detach() for one in ours], [one.detach() for one in theirs])
    assert not any("projection" in state for state in optimizer.state.values())


@pytest.mark.parametrize("optimizer_class", LOW_BIT)
def test_blocks_of_zeros_and_nan_stay_what_they_are(optimizer_class):
    one = parameter(4, 2048)
    before = one.detach().clone()
    optimizer = optimizer_class([one], weight_decay=0.0)
    for _ in range(3):
        one.grad = torch.randn(4, 2048)
        one.grad[1] = 0
        one.grad[2, 5] = float("nan")
        optimizer.step()
    assert torch.equal(one[1], before[1])
    assert one[0].isfinite().all() and one[3].isfinite().all() and one[2, 5].isnan()


@pytest.mark.parametrize("optimizer_class", OPTIMIZERS)
def test_parameters_of_any_layout(optimizer_class):
    base = torch.randn(90, 80)
    transposed, plain = nn.Parameter(base.T), nn.Parameter(base.T.contiguous())
    for one in (transposed, plain):
        steps(optimizer_class([one]), [one], 3)
    assert torch.equal(transposed, plain)


def test_closures_schedulers_and_missing_gradients():
    one, unused = parameter(64, 64), parameter(64, 64)
    before = unused.detach().clone()
    optimizer = AdamW8bit([one, unused], lr=0.5)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.0)

    def closure():
        optimizer.zero_grad()
        loss = one.square().sum()
        loss.backward()
        return loss

    loss = one.detach().square().sum()
    torch.testing.assert_close(optimizer.step(closure).detach(), loss)
    scheduler.step()
    after = one.detach().clone()
    optimizer.step(closure)
    assert torch.equal(one, after) and torch.equal(unused, before)


@pytest.mark.parametrize("optimizer_class", OPTIMIZERS)
def test_errors(optimizer_class):
    name, one = optimizer_class.__name__, parameter(4)
    for settings, sentence in (
        ({"lr": -1}, "lr must be at least 0, but got -1"),
        ({"eps": -1}, "eps must be at least 0, but got -1"),
        ({"weight_decay": -1}, "weight_decay must be at least 0, but got -1"),
        ({"betas": (0.9, 1.0)}, "betas must be from 0 to below 1, but got (0.9, 1.0)"),
    ):
        with pytest.raises(ValueError) as error:
            optimizer_class([one], **settings)
        assert str(error.value) == f"{name}: {sentence}"
    with pytest.raises(ValueError) as error:
        optimizer_class([nn.Parameter(torch.zeros(4, dtype=torch.float64))])
    assert str(error.value) == f"{name}: params must be float32, float16 or bfloat16, but got float64"
    embedding = nn.Embedding(10, 4, sparse=True)
    optimizer = optimizer_class(embedding.parameters())
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError) as error:
        optimizer.step()
    assert str(error.value) == f"{name}: gradients must be dense, but got a sparse one"


def test_errors_of_galore():
    for settings, sentence in (
        ({"rank": 0}, "rank must be None or at least 1, but got 0"),
        ({"update_proj_gap": 0}, "update_proj_gap must be at least 1, but got 0"),
    ):
        with pytest.raises(ValueError) as error:
            GaLoreAdamW([parameter(4)], **settings)
        assert str(error.value) == f"GaLoreAdamW: {sentence}"


def test_in_fp32_moments_are_kept_as_they_are():
    first, second = torch.randn(3), torch.rand(3)
    moments = Float32Moments()
    decoded = moments.decode(moments.encode(first, second), first.shape)
    assert decoded[0] is first and decoded[1] is second
