"""Lowers models that PyTorch's PT2E quantization has converted to this library's int8 operators."""

import operator

import torch
from torch import fx

_DEQUANTIZE_WEIGHT = "quantized_decomposed.dequantize_per_channel.default"
_QUANTIZE_INPUT = "quantized_decomposed.quantize_per_tensor."
_DEQUANTIZE_INPUT = "quantized_decomposed.dequantize_per_tensor."


def lower(model: fx.GraphModule) -> fx.GraphModule:
    """Puts int8 operators in the place of the linear layers that PT2E has quantized, in place.

    A linear layer whose input is quantized becomes `int8_dynamic_mm`, one whose weight alone is, `int8_mm`. The weight's codes
    and scales stay what they are. Its input is rounded to 8 bits a row on the fly and not by the one scale and zero point
    of the graph, whether these were calibrated (static), trained (QAT) or computed (dynamic): that is at least as near to the
    model before quantization, and nothing is cut off that is larger than what the calibration saw. What else is quantized
    in the graph stays as it is, and other users of a quantized input get it as before.

        model = convert_pt2e(prepared)
        torchao_ops.pt2e.lower(model)
        model = torch.compile(model)

    Args:
        model: what `convert_pt2e` returned, after `prepare_pt2e` or `prepare_qat_pt2e`, with int8 weights of a scale a row
            and zero points of 0, such as X86InductorQuantizer makes.

    Returns:
        The model.

    Raises:
        ValueError: no linear layer has a quantized weight. (A model exported without strict=True is not annotated by the
            quantizer, and nobody says so.)
    """
    lowered = [
        node for node in model.graph.nodes if _is_call(node, "aten.linear.default") and _lower_linear(model, node)
    ]
    if not lowered:
        raise ValueError(
            "pt2e.lower: model must have a linear layer with an int8 weight of a scale a row, but has none: was it exported with "
            "strict=True before prepare_pt2e?"
        )
    model.graph.eliminate_dead_code()
    model.delete_all_unused_submodules()
    model.recompile()
    return model


def _lower_linear(model: fx.GraphModule, linear: fx.Node) -> bool:
    """Replaces one linear layer, if it is quantized."""
    x, dequantize, *bias = linear.args
    if not _is_call(dequantize, _DEQUANTIZE_WEIGHT):
        return False
    codes, scale, zero_point, axis, _, _, dtype = dequantize.args
    if axis != 0 or dtype != torch.int8 or codes.op != "get_attr" or _attribute(model, zero_point).any():
        return False

    operator_name = torch.ops.torchao.int8_mm.default
    if _is_call(x, _DEQUANTIZE_INPUT) and _is_call(x.args[0], _QUANTIZE_INPUT):
        operator_name, x = torch.ops.torchao.int8_dynamic_mm.default, x.args[0].args[0]
    with model.graph.inserting_before(linear):
        scale = _float_scale(model, scale)
        product = model.graph.call_function(operator_name, (x, codes, scale, 0, *bias))
    product.meta = linear.meta
    linear.replace_all_uses_with(product)
    model.graph.erase_node(linear)
    return True


def _is_call(node: object, name: str) -> bool:
    """Whether the node calls the operator of this name, or one whose name begins so."""
    return isinstance(node, fx.Node) and node.op == "call_function" and str(node.target).startswith(name)


def _attribute(model: fx.GraphModule, node: fx.Node) -> torch.Tensor:
    return operator.attrgetter(node.target)(model)


def _float_scale(model: fx.GraphModule, scale: fx.Node) -> fx.Node:
    """The scale in fp32, in which the operators take it; PT2E has float64 as well."""
    value = _attribute(model, scale)
    if value.dtype == torch.float32:
        return scale
    name = scale.target.replace(".", "_") + "_float32"
    model.register_buffer(name, value.float())
    return model.graph.get_attr(name)
