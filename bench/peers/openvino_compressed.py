"""OpenVINO's matrix product with an int4 or int8 constant, as its model compressor writes it, with and without int8 activations."""

from __future__ import annotations

import numpy
import torch
from weights import ROW, group_text

from peers.base import Absent, IntegerCandidate


class OpenVinoCompressed(IntegerCandidate):
    input_dtype = torch.float32

    def __init__(self, bits: int, group_size: int, dynamic_quantization: bool):
        super().__init__(bits, group_size)
        try:
            import openvino
        except ImportError as error:
            raise Absent(f"cannot import openvino: {error}") from error
        self._openvino = openvino
        self.version = f"openvino {openvino.__version__.split('-')[0]}"
        self.name = f"OpenVINO {'dynamic' if dynamic_quantization else 'exact'} {group_text(group_size)}"
        self.activations = "int8" if dynamic_quantization else "exact"
        self._dynamic_quantization = dynamic_quantization
        self._copies = []

    def bytes_per_group(self):
        return 2  # fp16 scale

    def prepare(self, weight, copies, threads):
        self.require_whole_groups(weight)
        core = self._openvino.Core()
        config = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # pinning would outlive this candidate's turn
        }
        if not self._dynamic_quantization:
            config["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = 0
        for _ in range(copies):
            # A compiled model reads the values where they are, so each copy keeps its own array.
            values = self._values(weight)
            request = core.compile_model(self._model(weight, values), "CPU", config).create_infer_request()
            self._copies.append((request, values))

    def _values(self, weight):
        integers = self.integers(weight)
        if self.bits == 8:
            return integers.values.numpy().copy()
        # Two's complement nibbles: code - 8 is the code with its top bit flipped.
        return numpy.bitwise_xor(integers.packed.numpy(), 0x88)

    def _model(self, weight, values):
        openvino = self._openvino
        opset = openvino.opset13
        rows, columns = weight.shape
        integers = self.integers(weight)
        scale, shape = integers.scale, (rows, columns)
        if self.group_size != ROW:
            scale, shape = scale.unsqueeze(2), (rows, columns // self.group_size, self.group_size)
        element = openvino.Type.i4 if self.bits == 4 else openvino.Type.i8
        constant = openvino.op.Constant(openvino.Tensor(values, shape, element))
        w = opset.multiply(opset.convert(constant, "f16"), opset.constant(scale.half().numpy()))
        if self.group_size != ROW:
            w = opset.reshape(w, opset.constant([rows, columns]), False)
        w = opset.convert(w, "f32")
        x = opset.parameter([-1, columns], openvino.Type.f32, name="x")
        return openvino.Model([opset.matmul(x, w, False, True)], [x])

    def bind(self, copy, x):
        openvino = self._openvino
        request, _ = self._copies[copy]
        rows = request.model_outputs[0].partial_shape[1].get_length()
        y = numpy.empty((x.shape[0], rows), numpy.float32)
        request.set_input_tensor(openvino.Tensor(x.numpy(), shared_memory=True))
        request.set_output_tensor(openvino.Tensor(y, shared_memory=True))

        def call(x=x):  # holds x, whose memory the request only borrows
            # The blocking infer() of the Python API copies its results; this pair does not.
            request.start_async()
            request.wait()
            return y

        return call

    def release(self):
        self._copies = []
