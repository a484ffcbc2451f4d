"""OpenVINO's matrix product with an int4 constant, as its model compressor writes it, with and without int8 activations."""

from __future__ import annotations

import numpy
import torch

from peers.base import Absent, Int4Candidate


class OpenVinoInt4(Int4Candidate):
    input_dtype = torch.float32

    def __init__(self, group_size: int, dynamic_quantization: bool):
        super().__init__(group_size)
        try:
            import openvino
        except ImportError as error:
            raise Absent(f"cannot import openvino: {error}") from error
        self._openvino = openvino
        self.version = f"openvino {openvino.__version__.split('-')[0]}"
        self.name = f"OpenVINO {'dynamic' if dynamic_quantization else 'exact'} g{group_size}"
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
            # Two's complement nibbles: code - 8 is the code with its top bit flipped. A compiled model reads them where
            # they are, so each copy keeps its own array.
            codes = numpy.bitwise_xor(weight.int4(self.group_size).packed.numpy(), 0x88)
            request = core.compile_model(self._model(weight, codes), "CPU", config).create_infer_request()
            self._copies.append((request, codes))

    def _model(self, weight, codes):
        openvino = self._openvino
        opset = openvino.opset13
        rows, columns = weight.shape
        int4 = weight.int4(self.group_size)
        grouped = (rows, columns // self.group_size, self.group_size)
        constant = openvino.op.Constant(openvino.Tensor(codes, grouped, openvino.Type.i4))
        scale = opset.constant(int4.scale.half().unsqueeze(2).numpy())
        w = opset.multiply(opset.convert(constant, "f16"), scale)
        w = opset.convert(opset.reshape(w, opset.constant([rows, columns]), False), "f32")
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
