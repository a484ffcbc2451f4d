"""ONNX Runtime's MatMulNBits with blocks of 4-bit or 8-bit codes: accuracy_level 0 computes with fp32 activations, 4 with int8 ones."""

from __future__ import annotations

import numpy
import torch

from peers.base import Absent, IntegerCandidate


class OnnxRuntimeMatMulNBits(IntegerCandidate):
    input_dtype = torch.float32  # the CPU kernels take fp32 and fp16

    def __init__(self, bits: int, group_size: int, accuracy_level: int):
        super().__init__(bits, group_size)
        try:
            import onnx
            import onnxruntime
        except ImportError as error:
            raise Absent(f"cannot import onnx and onnxruntime: {error}") from error
        self._onnx, self._onnxruntime = onnx, onnxruntime
        self.version = f"onnxruntime {onnxruntime.__version__}"
        self.name = f"ONNX Runtime level {accuracy_level} g{group_size}"
        self.activations = "int8" if accuracy_level == 4 else "exact"
        self._accuracy_level = accuracy_level
        self._copies = []

    def bytes_per_group(self):
        return 4  # fp32 scale; a missing zero point means 8 or 128

    def prepare(self, weight, copies, threads):
        self.require_whole_groups(weight)
        model = self._model(weight)
        options = self._onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Spin between the calls of a burst, but not on into the next candidate's (see timing.py).
        options.add_session_config_entry("session.intra_op.spin_duration_us", "300")
        self._copies = [
            self._onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            for _ in range(copies)
        ]

    def _model(self, weight) -> bytes:
        helper, numpy_helper, FLOAT = self._onnx.helper, self._onnx.numpy_helper, self._onnx.TensorProto.FLOAT
        rows, columns = weight.shape
        integers = self.integers(weight)
        groups = columns // self.group_size
        node = helper.make_node(
            "MatMulNBits",
            ["x", "weight", "scale"],
            ["y"],
            domain="com.microsoft",
            K=columns,
            N=rows,
            bits=self.bits,
            block_size=self.group_size,
            accuracy_level=self._accuracy_level,
        )
        stored = integers.packed if self.bits == 4 else integers.codes
        blocks = stored.numpy().reshape(rows, groups, self.group_size * self.bits // 8)
        scales = integers.scale.float().numpy().reshape(rows * groups)
        graph = helper.make_graph(
            [node],
            "linear",
            [helper.make_tensor_value_info("x", FLOAT, ["M", columns])],
            [helper.make_tensor_value_info("y", FLOAT, ["M", rows])],
            [numpy_helper.from_array(blocks, "weight"), numpy_helper.from_array(scales, "scale")],
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()

    def bind(self, copy, x):
        session = self._copies[copy]
        y = numpy.empty((x.shape[0], session.get_outputs()[0].shape[1]), numpy.float32)
        binding = session.io_binding()  # input and output stay where they are: no copy in the timed call
        binding.bind_cpu_input("x", x.numpy())
        binding.bind_output("y", "cpu", 0, numpy.float32, y.shape, y.ctypes.data)

        def call(x=x):  # holds x, whose memory the binding only borrows
            session.run_with_iobinding(binding)
            return y

        return call

    def release(self):
        self._copies = []
