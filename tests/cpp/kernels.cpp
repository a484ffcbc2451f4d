#include "tests/cpp/kernels.h"

#include <algorithm>
#include <map>
#include <string>

#include "csrc/spec/batch_invariant.h"
#ifdef TORCHAO_OPS_TEST_CUDA
#include "csrc/cuda/cusparselt.h"
#include "csrc/cuda/fp8_dequantize.h"
#include "csrc/cuda/fp8_dynamic_mm.h"
#include "csrc/cuda/fp8_dynamic_mm_prefill.h"
#include "csrc/cuda/fp8_mm.h"
#include "csrc/cuda/fp8_mm_mma.h"
#include "csrc/cuda/fp8_mm_prefill.h"
#include "csrc/cuda/fp8_mm_simt.h"
#include "csrc/cuda/fp8_quantize.h"
#include "csrc/cuda/fp8_scaled_mm.h"
#include "csrc/cuda/gemm.h"
#include "csrc/cuda/int4_dequantize.h"
#include "csrc/cuda/int4_dynamic_mm.h"
#include "csrc/cuda/int4_mm.h"
#include "csrc/cuda/int4_mm_mma.h"
#include "csrc/cuda/int4_mm_prefill.h"
#include "csrc/cuda/int4_mm_simt.h"
#include "csrc/cuda/int4_quantize.h"
#include "csrc/cuda/int8_dequantize.h"
#include "csrc/cuda/int8_dynamic_mm.h"
#include "csrc/cuda/int8_dynamic_mm_prefill.h"
#include "csrc/cuda/int8_mm.h"
#include "csrc/cuda/int8_mm_mma.h"
#include "csrc/cuda/int8_mm_prefill.h"
#include "csrc/cuda/int8_mm_simt.h"
#include "csrc/cuda/int8_quantize.h"
#include "csrc/cuda/nf4_dequantize.h"
#include "csrc/cuda/nf4_mm.h"
#include "csrc/cuda/nf4_mm_mma.h"
#include "csrc/cuda/nf4_mm_prefill.h"
#include "csrc/cuda/nf4_mm_simt.h"
#include "csrc/cuda/nf4_mm_transposed.h"
#include "csrc/cuda/nf4_quantize.h"
#include "csrc/cuda/nf4_quantize_absmax.h"
#include "csrc/cuda/sparse24_compress.h"
#include "csrc/cuda/sparse24_cusparselt.h"
#include "csrc/cuda/sparse24_decompress.h"
#include "csrc/cuda/sparse24_dynamic_mm.h"
#include "csrc/cuda/sparse24_dynamic_mm_prefill.h"
#include "csrc/cuda/sparse24_mm.h"
#include "csrc/cuda/sparse24_mm_mma.h"
#include "csrc/cuda/sparse24_mm_prefill.h"
#include "csrc/cuda/sparse24_mm_simt.h"
#include "csrc/cuda/sparse24_prune.h"
#include "tests/cpp/cuda_kernels.h"
#ifdef TORCHAO_OPS_CUDA_HOST
#include "tests/cpp/cuda_host/fp8_gemm_host.h"
#endif
#else
#include "csrc/cpu/fp8_dequantize.h"
#include "csrc/cpu/fp8_dynamic_mm.h"
#include "csrc/cpu/fp8_mm.h"
#include "csrc/cpu/fp8_quantize.h"
#include "csrc/cpu/fp8_scaled_mm.h"
#include "csrc/cpu/int4_dequantize.h"
#include "csrc/cpu/int4_dynamic_mm.h"
#include "csrc/cpu/int4_mm.h"
#include "csrc/cpu/int4_quantize.h"
#include "csrc/cpu/int8_dequantize.h"
#include "csrc/cpu/int8_dynamic_mm.h"
#include "csrc/cpu/int8_mm.h"
#include "csrc/cpu/int8_quantize.h"
#include "csrc/cpu/isa.h"
#include "csrc/cpu/nf4_dequantize.h"
#include "csrc/cpu/nf4_mm.h"
#include "csrc/cpu/nf4_quantize.h"
#include "csrc/cpu/nf4_quantize_absmax.h"
#include "csrc/cpu/sparse24_compress.h"
#include "csrc/cpu/sparse24_decompress.h"
#include "csrc/cpu/sparse24_dynamic_mm.h"
#include "csrc/cpu/sparse24_mm.h"
#include "csrc/cpu/sparse24_prune.h"
#endif

namespace torchao_ops::test {
namespace {

#ifdef TORCHAO_OPS_EMULATE_AVX512
constexpr bool emulated = true;
#else
constexpr bool emulated = false;
#endif

#ifdef TORCHAO_OPS_TEST_CUDA

// A line's supports(): the kernel's own, if it has one, and what the device's memory holds. Alignment is the same on the device as on the host.
template <class Args>
bool fits(const Args& args) {
  return fits_on_device(args);
}
template <class Args, bool (*supports)(const Args&)>
bool fits_and(const Args& args) {
  return supports(args) && fits_on_device(args);
}
// cuBLASLt takes no empty operands.
template <class Args>
bool fits_prefill(const Args& args) {
  return args.mm.M > 0 && args.weight.N > 0 && args.weight.K > 0 && cuda::gemm_is_available() && fits_on_device(args);
}
bool fits_transposed(const Nf4MmArgs& args) {
  return cuda::gemm_is_available() && fits_on_device<Nf4MmArgs, operands_of_transposed>(args);
}

// sparse24_cusparselt_dynamic_mm with a weight that is packed before, in the workspace: what sparse24_cusparselt_compress does not refuse.
bool fits_cusparselt(const Sparse24MmArgs& args) {
  const sparse24::Weight& w = args.weight;
  for (int64_t n = 0; n < w.N; ++n) {
    for (int64_t quad = 0; quad < sparse24::quads(w.K); ++quad) {
      if (sparse24::keeps_too_many(w.bits(n, quad))) return false;
    }
  }
  // Tensor cores add products of e4m3fn in less than fp32 (docs/numerics.md).
  const bool sums_are_exact = w.value_type == sparse24::ValueType::int8 || std::string(where_kernels_run()) != "cuda on a device";
  return args.mm.M > 0 && w.N > 0 && w.K > 0 && sums_are_exact && cuda::cusparselt_is_available() && fits_on_device(args);
}
struct PackPlaces {
  int64_t packed, workspace, total;

  PackPlaces(const Sparse24MmArgs& args, const cuda::Context& context) {
    int64_t packed_bytes = 0, compress_bytes = 0;
    const sparse24::Weight& w = args.weight;
    cuda::sparse24_cusparselt_packed_bytes(w.value_type, w.N, w.K, context, &packed_bytes);
    cuda::sparse24_cusparselt_compress_workspace_bytes({w, nullptr, nullptr}, context, &compress_bytes);
    packed = cuda::workspace_alignment;  // behind the violation
    workspace = packed + cuda::workspace_aligned(packed_bytes);
    total = workspace +
            std::max(compress_bytes, cuda::sparse24_cusparselt_dynamic_mm_workspace_bytes({args, nullptr}, context.device));
  }
};
int64_t pack_and_multiply_workspace_bytes(const Sparse24MmArgs& args, const cuda::Device& device) {
  cuda::Context context = test_context();
  context.device = device;
  return PackPlaces(args, context).total;
}
Status pack_and_multiply(const Sparse24MmArgs& args, const cuda::Context& context) {
  const PackPlaces places(args, context);
  uint8_t* const memory = static_cast<uint8_t*>(context.workspace);
  cuda::Context inside = context;
  inside.workspace = memory + places.workspace;
  const Status status =
      cuda::sparse24_cusparselt_compress({args.weight, memory + places.packed, reinterpret_cast<int64_t*>(memory)}, inside);
  if (status != Status::ok) return status;
  return cuda::sparse24_cusparselt_dynamic_mm({args, memory + places.packed}, inside);
}

// As on a device of compute capability 8.0, which has no fp8.
template <class Args, Status (*kernel)(const Args&, const cuda::Context&)>
Status run_on_older(const Args& args, const cuda::Context& context) {
  cuda::Context older = context;
  older.device.compute_capability = 80;
  return kernel(args, older);
}
template <class Args, int64_t (*workspace_bytes)(const Args&, const cuda::Device&)>
int64_t workspace_bytes_on_older(const Args& args, const cuda::Device& device) {
  cuda::Device older = device;
  older.compute_capability = 80;
  return workspace_bytes(args, older);
}

bool fits_fp8_scaled_mm(const Fp8ScaledMmArgs& args) { return cuda::gemm_is_available() && fits_on_device(args); }

#ifdef TORCHAO_OPS_CUDA_HOST
Status run_refused(const Fp8ScaledMmArgs& args, const cuda::Context& context) {
  cuda_host::refuse_fp8_gemm(true);
  const Status status = cuda::fp8_scaled_mm(args, context);
  cuda_host::refuse_fp8_gemm(false);
  return status;
}
#endif

const Fp8ScaledMmKernel all_fp8_scaled_mm[] = {
#ifdef TORCHAO_OPS_CUDA_HOST
    {"cuda_fp8_scaled_mm_refused", Needs::cuda, fits_fp8_scaled_mm,
     run_cuda<Fp8ScaledMmArgs, run_refused, cuda::fp8_scaled_mm_workspace_bytes>, false},
#endif
    {"cuda_fp8_scaled_mm", Needs::cuda, fits_fp8_scaled_mm,
     run_cuda<Fp8ScaledMmArgs, cuda::fp8_scaled_mm, cuda::fp8_scaled_mm_workspace_bytes>, false},
    {"cuda_fp8_scaled_mm_8_0", Needs::cuda, fits_fp8_scaled_mm,
     run_cuda<Fp8ScaledMmArgs, run_on_older<Fp8ScaledMmArgs, cuda::fp8_scaled_mm>,
              workspace_bytes_on_older<Fp8ScaledMmArgs, cuda::fp8_scaled_mm_workspace_bytes>>,
     false},
};

const Fp8QuantizeKernel all_fp8_quantize[] = {
    {"cuda_fp8_quantize", Needs::cuda, fits<Fp8QuantizeArgs>,
     run_cuda<Fp8QuantizeArgs, cuda::fp8_quantize, cuda::fp8_quantize_workspace_bytes>},
};

const Fp8MmKernel all_fp8_mm[] = {
    {"cuda_fp8_mm", Needs::cuda, fits<Fp8MmArgs>, run_cuda<Fp8MmArgs, cuda::fp8_mm, cuda::fp8_mm_workspace_bytes>,
     batch_invariant()},
    {"cuda_fp8_mm_mma", Needs::cuda, fits_and<Fp8MmArgs, cuda::supports_fp8_mm_mma>,
     run_cuda<Fp8MmArgs, cuda::fp8_mm_mma, cuda::fp8_mm_mma_workspace_bytes>, batch_invariant()},
    {"cuda_fp8_mm_simt", Needs::cuda, fits<Fp8MmArgs>, run_cuda<Fp8MmArgs, cuda::fp8_mm_simt, cuda::fp8_mm_simt_workspace_bytes>},
    {"cuda_fp8_mm_prefill", Needs::cuda, fits_prefill<Fp8MmArgs>,
     run_cuda<Fp8MmArgs, cuda::fp8_mm_prefill, cuda::fp8_mm_prefill_workspace_bytes>, false},
};

bool fits_fp8_dynamic_mm_prefill(const Fp8MmArgs& args) {
  return fits_prefill(args) && cuda::supports_fp8_dynamic_mm_prefill(args, test_context().device);
}
// With one scale a row.
bool fits_fp8_dynamic_mm_prefill_8_0(const Fp8MmArgs& args) {
  return fits_prefill(args) && args.weight.group_size >= args.weight.K;
}

const Fp8MmKernel all_fp8_dynamic_mm[] = {
    {"cuda_fp8_dynamic_mm", Needs::cuda, fits<Fp8MmArgs>,
     run_cuda<Fp8MmArgs, cuda::fp8_dynamic_mm, cuda::fp8_dynamic_mm_workspace_bytes>, batch_invariant()},
    {"cuda_fp8_dynamic_mm_prefill", Needs::cuda, fits_fp8_dynamic_mm_prefill,
     run_cuda<Fp8MmArgs, cuda::fp8_dynamic_mm_prefill, cuda::fp8_dynamic_mm_prefill_workspace_bytes>, false},
    {"cuda_fp8_dynamic_mm_prefill_8_0", Needs::cuda, fits_fp8_dynamic_mm_prefill_8_0,
     run_cuda<Fp8MmArgs, run_on_older<Fp8MmArgs, cuda::fp8_dynamic_mm_prefill>,
              workspace_bytes_on_older<Fp8MmArgs, cuda::fp8_dynamic_mm_prefill_workspace_bytes>>,
     false},
    {"cuda_fp8_dynamic_mm_mma", Needs::cuda, fits_and<Fp8MmArgs, cuda::supports_fp8_dynamic_mm_mma>,
     run_cuda<Fp8MmArgs, cuda::fp8_dynamic_mm_mma, cuda::fp8_dynamic_mm_mma_workspace_bytes>, batch_invariant()},
    {"cuda_fp8_dynamic_mm_simt", Needs::cuda, fits<Fp8MmArgs>,
     run_cuda<Fp8MmArgs, cuda::fp8_dynamic_mm_simt, cuda::fp8_dynamic_mm_simt_workspace_bytes>},
};

const Fp8DequantizeKernel all_fp8_dequantize[] = {
    {"cuda_fp8_dequantize", Needs::cuda, fits<Fp8DequantizeArgs>,
     run_cuda<Fp8DequantizeArgs, cuda::fp8_dequantize, no_workspace>},
};

const Int4MmKernel all_int4_mm[] = {
    {"cuda_int4_mm", Needs::cuda, fits<Int4MmArgs>, run_cuda<Int4MmArgs, cuda::int4_mm, cuda::int4_mm_workspace_bytes>,
     batch_invariant()},
    {"cuda_int4_mm_mma", Needs::cuda, fits_and<Int4MmArgs, cuda::supports_int4_mm_mma>,
     run_cuda<Int4MmArgs, cuda::int4_mm_mma, cuda::int4_mm_mma_workspace_bytes>, batch_invariant()},
    {"cuda_int4_mm_simt", Needs::cuda, fits<Int4MmArgs>,
     run_cuda<Int4MmArgs, cuda::int4_mm_simt, cuda::int4_mm_simt_workspace_bytes>},
    {"cuda_int4_mm_prefill", Needs::cuda, fits_prefill<Int4MmArgs>,
     run_cuda<Int4MmArgs, cuda::int4_mm_prefill, cuda::int4_mm_prefill_workspace_bytes>, false},
};

const Int4MmKernel all_int4_dynamic_mm[] = {
    {"cuda_int4_dynamic_mm", Needs::cuda, fits<Int4MmArgs>,
     run_cuda<Int4MmArgs, cuda::int4_dynamic_mm, cuda::int4_dynamic_mm_workspace_bytes>, batch_invariant()},
    {"cuda_int4_dynamic_mm_mma", Needs::cuda, fits_and<Int4MmArgs, cuda::supports_int4_dynamic_mm_mma>,
     run_cuda<Int4MmArgs, cuda::int4_dynamic_mm_mma, cuda::int4_dynamic_mm_mma_workspace_bytes>, batch_invariant()},
    {"cuda_int4_dynamic_mm_simt", Needs::cuda, fits<Int4MmArgs>,
     run_cuda<Int4MmArgs, cuda::int4_dynamic_mm_simt, cuda::int4_dynamic_mm_simt_workspace_bytes>},
};

const Int4QuantizeKernel all_int4_quantize[] = {
    {"cuda_int4_quantize", Needs::cuda, fits<Int4QuantizeArgs>, run_cuda<Int4QuantizeArgs, cuda::int4_quantize, no_workspace>},
};

const Int4DequantizeKernel all_int4_dequantize[] = {
    {"cuda_int4_dequantize", Needs::cuda, fits<Int4DequantizeArgs>,
     run_cuda<Int4DequantizeArgs, cuda::int4_dequantize, no_workspace>},
};

const Int8MmKernel all_int8_mm[] = {
    {"cuda_int8_mm", Needs::cuda, fits<Int8MmArgs>, run_cuda<Int8MmArgs, cuda::int8_mm, cuda::int8_mm_workspace_bytes>,
     batch_invariant()},
    {"cuda_int8_mm_mma", Needs::cuda, fits_and<Int8MmArgs, cuda::supports_int8_mm_mma>,
     run_cuda<Int8MmArgs, cuda::int8_mm_mma, cuda::int8_mm_mma_workspace_bytes>, batch_invariant()},
    {"cuda_int8_mm_simt", Needs::cuda, fits<Int8MmArgs>,
     run_cuda<Int8MmArgs, cuda::int8_mm_simt, cuda::int8_mm_simt_workspace_bytes>},
    {"cuda_int8_mm_prefill", Needs::cuda, fits_prefill<Int8MmArgs>,
     run_cuda<Int8MmArgs, cuda::int8_mm_prefill, cuda::int8_mm_prefill_workspace_bytes>, false},
};

const Int8MmKernel all_int8_dynamic_mm[] = {
    {"cuda_int8_dynamic_mm", Needs::cuda, fits<Int8MmArgs>,
     run_cuda<Int8MmArgs, cuda::int8_dynamic_mm, cuda::int8_dynamic_mm_workspace_bytes>, batch_invariant()},
    {"cuda_int8_dynamic_mm_mma", Needs::cuda, fits_and<Int8MmArgs, cuda::supports_int8_dynamic_mm_mma>,
     run_cuda<Int8MmArgs, cuda::int8_dynamic_mm_mma, cuda::int8_dynamic_mm_mma_workspace_bytes>, batch_invariant()},
    {"cuda_int8_dynamic_mm_simt", Needs::cuda, fits<Int8MmArgs>,
     run_cuda<Int8MmArgs, cuda::int8_dynamic_mm_simt, cuda::int8_dynamic_mm_simt_workspace_bytes>},
    {"cuda_int8_dynamic_mm_prefill", Needs::cuda,
     [](const Int8MmArgs& args) { return fits_prefill(args) && cuda::supports_int8_dynamic_mm_prefill(args); },
     run_cuda<Int8MmArgs, cuda::int8_dynamic_mm_prefill, cuda::int8_dynamic_mm_prefill_workspace_bytes>},
};

const Int8QuantizeKernel all_int8_quantize[] = {
    {"cuda_int8_quantize", Needs::cuda, fits<Int8QuantizeArgs>, run_cuda<Int8QuantizeArgs, cuda::int8_quantize, no_workspace>},
};

const Int8DequantizeKernel all_int8_dequantize[] = {
    {"cuda_int8_dequantize", Needs::cuda, fits<Int8DequantizeArgs>,
     run_cuda<Int8DequantizeArgs, cuda::int8_dequantize, no_workspace>},
};

const Nf4MmKernel all_nf4_mm[] = {
    {"cuda_nf4_mm", Needs::cuda, fits<Nf4MmArgs>, run_cuda<Nf4MmArgs, cuda::nf4_mm, cuda::nf4_mm_workspace_bytes>,
     batch_invariant()},
    {"cuda_nf4_mm_mma", Needs::cuda, fits_and<Nf4MmArgs, cuda::supports_nf4_mm_mma>,
     run_cuda<Nf4MmArgs, cuda::nf4_mm_mma, cuda::nf4_mm_mma_workspace_bytes>, batch_invariant()},
    {"cuda_nf4_mm_simt", Needs::cuda, fits<Nf4MmArgs>, run_cuda<Nf4MmArgs, cuda::nf4_mm_simt, cuda::nf4_mm_simt_workspace_bytes>},
    {"cuda_nf4_mm_prefill", Needs::cuda, fits_prefill<Nf4MmArgs>,
     run_cuda<Nf4MmArgs, cuda::nf4_mm_prefill, cuda::nf4_mm_prefill_workspace_bytes>, false},
};

const Nf4MmKernel all_nf4_mm_transposed[] = {
    {"cuda_nf4_mm_transposed", Needs::cuda, fits_transposed,
     run_cuda<Nf4MmArgs, cuda::nf4_mm_transposed, cuda::nf4_mm_transposed_workspace_bytes, operands_of_transposed>, false},
};

const Nf4QuantizeKernel all_nf4_quantize[] = {
    {"cuda_nf4_quantize", Needs::cuda, fits<Nf4QuantizeArgs>, run_cuda<Nf4QuantizeArgs, cuda::nf4_quantize, no_workspace>},
};

const Nf4QuantizeAbsmaxKernel all_nf4_quantize_absmax[] = {
    {"cuda_nf4_quantize_absmax", Needs::cuda, fits<Nf4QuantizeAbsmaxArgs>,
     run_cuda<Nf4QuantizeAbsmaxArgs, cuda::nf4_quantize_absmax, no_workspace>},
};

const Nf4DequantizeKernel all_nf4_dequantize[] = {
    {"cuda_nf4_dequantize", Needs::cuda, fits<Nf4DequantizeArgs>,
     run_cuda<Nf4DequantizeArgs, cuda::nf4_dequantize, no_workspace>},
};

const Sparse24PruneKernel all_sparse24_prune[] = {
    {"cuda_sparse24_prune", Needs::cuda, fits<Sparse24PruneArgs>,
     run_cuda<Sparse24PruneArgs, cuda::sparse24_prune, no_workspace>},
};

const Sparse24CompressKernel all_sparse24_compress[] = {
    {"cuda_sparse24_compress", Needs::cuda, fits<Sparse24CompressArgs>,
     run_cuda<Sparse24CompressArgs, cuda::sparse24_compress, no_workspace>},
};

const Sparse24DecompressKernel all_sparse24_decompress[] = {
    {"cuda_sparse24_decompress", Needs::cuda, fits<Sparse24DecompressArgs>,
     run_cuda<Sparse24DecompressArgs, cuda::sparse24_decompress, no_workspace>},
};

const Sparse24MmKernel all_sparse24_mm[] = {
    {"cuda_sparse24_mm", Needs::cuda, fits<Sparse24MmArgs>,
     run_cuda<Sparse24MmArgs, cuda::sparse24_mm, cuda::sparse24_mm_workspace_bytes>, batch_invariant()},
    {"cuda_sparse24_mm_mma", Needs::cuda, fits_and<Sparse24MmArgs, cuda::supports_sparse24_mm_mma>,
     run_cuda<Sparse24MmArgs, cuda::sparse24_mm_mma, cuda::sparse24_mm_mma_workspace_bytes>, batch_invariant()},
    {"cuda_sparse24_mm_simt", Needs::cuda, fits<Sparse24MmArgs>,
     run_cuda<Sparse24MmArgs, cuda::sparse24_mm_simt, cuda::sparse24_mm_simt_workspace_bytes>},
    {"cuda_sparse24_mm_prefill", Needs::cuda, fits_prefill<Sparse24MmArgs>,
     run_cuda<Sparse24MmArgs, cuda::sparse24_mm_prefill, cuda::sparse24_mm_prefill_workspace_bytes>, false},
};

const Sparse24MmKernel all_sparse24_dynamic_mm[] = {
    {"cuda_sparse24_dynamic_mm", Needs::cuda, fits<Sparse24MmArgs>,
     run_cuda<Sparse24MmArgs, cuda::sparse24_dynamic_mm, cuda::sparse24_dynamic_mm_workspace_bytes>, batch_invariant()},
    {"cuda_sparse24_dynamic_mm_mma", Needs::cuda, fits_and<Sparse24MmArgs, cuda::supports_sparse24_dynamic_mm_mma>,
     run_cuda<Sparse24MmArgs, cuda::sparse24_dynamic_mm_mma, cuda::sparse24_dynamic_mm_mma_workspace_bytes>, batch_invariant()},
    {"cuda_sparse24_dynamic_mm_simt", Needs::cuda, fits<Sparse24MmArgs>,
     run_cuda<Sparse24MmArgs, cuda::sparse24_dynamic_mm_simt, cuda::sparse24_dynamic_mm_simt_workspace_bytes>},
    {"cuda_sparse24_dynamic_mm_prefill", Needs::cuda,
     [](const Sparse24MmArgs& args) { return fits_prefill(args) && cuda::supports_sparse24_dynamic_mm_prefill(args); },
     run_cuda<Sparse24MmArgs, cuda::sparse24_dynamic_mm_prefill, cuda::sparse24_dynamic_mm_prefill_workspace_bytes>, false},
    {"cuda_sparse24_cusparselt_dynamic_mm", Needs::cuda, fits_cusparselt,
     run_cuda<Sparse24MmArgs, pack_and_multiply, pack_and_multiply_workspace_bytes>, false},
};

#else

const Fp8MmKernel all_fp8_mm[] = {
    {"fp8_mm", Needs::dispatch, nullptr, fp8_mm, batch_invariant()},
    {"fp8_mm_scalar", Needs::scalar, nullptr, fp8_mm_scalar},
    {"fp8_mm_decode_avx2", Needs::avx2, supports_fp8_mm_decode, fp8_mm_decode_avx2},
    {"fp8_mm_prefill_avx2", Needs::avx2, nullptr, fp8_mm_prefill_avx2},
    {"fp8_mm_decode_avx512", Needs::avx512, supports_fp8_mm_decode, fp8_mm_decode_avx512},
    {"fp8_mm_prefill_avx512", Needs::avx512, nullptr, fp8_mm_prefill_avx512},
    {"fp8_mm_decode_avx512_bf16", Needs::avx512_bf16, supports_fp8_mm_decode_bf16, fp8_mm_decode_avx512_bf16},
    {"fp8_mm_prefill_avx512_bf16", Needs::avx512_bf16, supports_fp8_mm_prefill_bf16, fp8_mm_prefill_avx512_bf16},
};

const Fp8MmKernel all_fp8_dynamic_mm[] = {
    {"fp8_dynamic_mm", Needs::dispatch, nullptr, fp8_dynamic_mm, batch_invariant()},
    {"fp8_dynamic_mm_scalar", Needs::scalar, nullptr, fp8_dynamic_mm_scalar},
    {"fp8_dynamic_mm_avx2", Needs::avx2, nullptr, fp8_dynamic_mm_avx2, batch_invariant()},
    {"fp8_dynamic_mm_avx512", Needs::avx512, nullptr, fp8_dynamic_mm_avx512, batch_invariant()},
};

const Fp8ScaledMmKernel all_fp8_scaled_mm[] = {
    {"fp8_scaled_mm", Needs::dispatch, nullptr, fp8_scaled_mm, batch_invariant()},
    {"fp8_scaled_mm_scalar", Needs::scalar, nullptr, fp8_scaled_mm_scalar},
    {"fp8_scaled_mm_avx2", Needs::avx2, nullptr, fp8_scaled_mm_avx2, batch_invariant()},
    {"fp8_scaled_mm_avx512", Needs::avx512, nullptr, fp8_scaled_mm_avx512, batch_invariant()},
};

const Fp8QuantizeKernel all_fp8_quantize[] = {
    {"fp8_quantize", Needs::dispatch, nullptr, fp8_quantize},
    {"fp8_quantize_scalar", Needs::scalar, nullptr, fp8_quantize_scalar},
    {"fp8_quantize_avx2", Needs::avx2, nullptr, fp8_quantize_avx2},
};

const Fp8DequantizeKernel all_fp8_dequantize[] = {
    {"fp8_dequantize", Needs::dispatch, nullptr, fp8_dequantize},
    {"fp8_dequantize_scalar", Needs::scalar, nullptr, fp8_dequantize_scalar},
    {"fp8_dequantize_avx2", Needs::avx2, nullptr, fp8_dequantize_avx2},
    {"fp8_dequantize_avx512", Needs::avx512, nullptr, fp8_dequantize_avx512},
};

const Int4MmKernel all_int4_mm[] = {
    {"int4_mm", Needs::dispatch, nullptr, int4_mm, batch_invariant()},
    {"int4_mm_scalar", Needs::scalar, nullptr, int4_mm_scalar},
    {"int4_mm_decode_avx2", Needs::avx2, supports_int4_mm_decode, int4_mm_decode_avx2},
    {"int4_mm_prefill_avx2", Needs::avx2, nullptr, int4_mm_prefill_avx2},
    {"int4_mm_decode_avx512", Needs::avx512, supports_int4_mm_decode, int4_mm_decode_avx512},
    {"int4_mm_prefill_avx512", Needs::avx512, nullptr, int4_mm_prefill_avx512},
    {"int4_mm_decode_avx512_bf16", Needs::avx512_bf16, supports_int4_mm_decode_bf16, int4_mm_decode_avx512_bf16},
    {"int4_mm_prefill_avx512_bf16", Needs::avx512_bf16, supports_int4_mm_prefill_bf16, int4_mm_prefill_avx512_bf16},
};

const Int4MmKernel all_int4_dynamic_mm[] = {
    {"int4_dynamic_mm", Needs::dispatch, nullptr, int4_dynamic_mm, batch_invariant()},
    {"int4_dynamic_mm_scalar", Needs::scalar, nullptr, int4_dynamic_mm_scalar},
    {"int4_dynamic_mm_decode_avx2", Needs::avx2, supports_int4_dynamic_mm_decode, int4_dynamic_mm_decode_avx2},
    {"int4_dynamic_mm_prefill_avx2", Needs::avx2, nullptr, int4_dynamic_mm_prefill_avx2},
    {"int4_dynamic_mm_decode_avx512", Needs::avx512, supports_int4_dynamic_mm_decode, int4_dynamic_mm_decode_avx512},
    {"int4_dynamic_mm_prefill_avx512", Needs::avx512, nullptr, int4_dynamic_mm_prefill_avx512},
};

const Int4QuantizeKernel all_int4_quantize[] = {
    {"int4_quantize", Needs::dispatch, nullptr, int4_quantize},
    {"int4_quantize_scalar", Needs::scalar, nullptr, int4_quantize_scalar},
    {"int4_quantize_avx2", Needs::avx2, nullptr, int4_quantize_avx2},
};

const Int4DequantizeKernel all_int4_dequantize[] = {
    {"int4_dequantize", Needs::dispatch, nullptr, int4_dequantize},
    {"int4_dequantize_scalar", Needs::scalar, nullptr, int4_dequantize_scalar},
    {"int4_dequantize_avx2", Needs::avx2, nullptr, int4_dequantize_avx2},
    {"int4_dequantize_avx512", Needs::avx512, nullptr, int4_dequantize_avx512},
};

const Int8MmKernel all_int8_mm[] = {
    {"int8_mm", Needs::dispatch, nullptr, int8_mm, batch_invariant()},
    {"int8_mm_scalar", Needs::scalar, nullptr, int8_mm_scalar},
    {"int8_mm_decode_avx2", Needs::avx2, supports_int8_mm_decode, int8_mm_decode_avx2},
    {"int8_mm_prefill_avx2", Needs::avx2, nullptr, int8_mm_prefill_avx2},
    {"int8_mm_decode_avx512", Needs::avx512, supports_int8_mm_decode, int8_mm_decode_avx512},
    {"int8_mm_prefill_avx512", Needs::avx512, nullptr, int8_mm_prefill_avx512},
    {"int8_mm_decode_avx512_bf16", Needs::avx512_bf16, supports_int8_mm_decode_bf16, int8_mm_decode_avx512_bf16},
    {"int8_mm_prefill_avx512_bf16", Needs::avx512_bf16, supports_int8_mm_prefill_bf16, int8_mm_prefill_avx512_bf16},
};

const Int8MmKernel all_int8_dynamic_mm[] = {
    {"int8_dynamic_mm", Needs::dispatch, nullptr, int8_dynamic_mm, batch_invariant()},
    {"int8_dynamic_mm_scalar", Needs::scalar, nullptr, int8_dynamic_mm_scalar},
    {"int8_dynamic_mm_decode_avx2", Needs::avx2, supports_int8_dynamic_mm_decode, int8_dynamic_mm_decode_avx2},
    {"int8_dynamic_mm_prefill_avx2", Needs::avx2, nullptr, int8_dynamic_mm_prefill_avx2},
    {"int8_dynamic_mm_decode_avx512", Needs::avx512, supports_int8_dynamic_mm_decode, int8_dynamic_mm_decode_avx512},
    {"int8_dynamic_mm_prefill_avx512", Needs::avx512, nullptr, int8_dynamic_mm_prefill_avx512},
};

const Int8QuantizeKernel all_int8_quantize[] = {
    {"int8_quantize", Needs::dispatch, nullptr, int8_quantize},
    {"int8_quantize_scalar", Needs::scalar, nullptr, int8_quantize_scalar},
    {"int8_quantize_avx2", Needs::avx2, nullptr, int8_quantize_avx2},
};

const Int8DequantizeKernel all_int8_dequantize[] = {
    {"int8_dequantize", Needs::dispatch, nullptr, int8_dequantize},
    {"int8_dequantize_scalar", Needs::scalar, nullptr, int8_dequantize_scalar},
    {"int8_dequantize_avx2", Needs::avx2, nullptr, int8_dequantize_avx2},
    {"int8_dequantize_avx512", Needs::avx512, nullptr, int8_dequantize_avx512},
};

const Nf4MmKernel all_nf4_mm[] = {
    {"nf4_mm", Needs::dispatch, nullptr, nf4_mm, batch_invariant()},
    {"nf4_mm_scalar", Needs::scalar, nullptr, nf4_mm_scalar},
    {"nf4_mm_decode_avx2", Needs::avx2, supports_nf4_mm_decode, nf4_mm_decode_avx2},
    {"nf4_mm_prefill_avx2", Needs::avx2, nullptr, nf4_mm_prefill_avx2},
    {"nf4_mm_decode_avx512", Needs::avx512, supports_nf4_mm_decode, nf4_mm_decode_avx512},
    {"nf4_mm_prefill_avx512", Needs::avx512, nullptr, nf4_mm_prefill_avx512},
    {"nf4_mm_prefill_avx512_bf16", Needs::avx512_bf16, supports_nf4_mm_prefill_bf16, nf4_mm_prefill_avx512_bf16},
};

const Nf4MmKernel all_nf4_mm_transposed[] = {
    {"nf4_mm_transposed", Needs::dispatch, nullptr, nf4_mm_transposed},
    {"nf4_mm_transposed_scalar", Needs::scalar, nullptr, nf4_mm_transposed_scalar},
    {"nf4_mm_transposed_avx2", Needs::avx2, nullptr, nf4_mm_transposed_avx2},
    {"nf4_mm_transposed_avx512", Needs::avx512, nullptr, nf4_mm_transposed_avx512},
};

const Nf4QuantizeKernel all_nf4_quantize[] = {
    {"nf4_quantize", Needs::dispatch, nullptr, nf4_quantize},
    {"nf4_quantize_scalar", Needs::scalar, nullptr, nf4_quantize_scalar},
    {"nf4_quantize_avx2", Needs::avx2, nullptr, nf4_quantize_avx2},
};

const Nf4QuantizeAbsmaxKernel all_nf4_quantize_absmax[] = {
    {"nf4_quantize_absmax", Needs::dispatch, nullptr, nf4_quantize_absmax},
    {"nf4_quantize_absmax_scalar", Needs::scalar, nullptr, nf4_quantize_absmax_scalar},
    {"nf4_quantize_absmax_avx2", Needs::avx2, nullptr, nf4_quantize_absmax_avx2},
};

const Nf4DequantizeKernel all_nf4_dequantize[] = {
    {"nf4_dequantize", Needs::dispatch, nullptr, nf4_dequantize},
    {"nf4_dequantize_scalar", Needs::scalar, nullptr, nf4_dequantize_scalar},
    {"nf4_dequantize_avx2", Needs::avx2, nullptr, nf4_dequantize_avx2},
    {"nf4_dequantize_avx512", Needs::avx512, nullptr, nf4_dequantize_avx512},
};

const Sparse24PruneKernel all_sparse24_prune[] = {
    {"sparse24_prune", Needs::dispatch, nullptr, sparse24_prune},
    {"sparse24_prune_scalar", Needs::scalar, nullptr, sparse24_prune_scalar},
    {"sparse24_prune_avx2", Needs::avx2, nullptr, sparse24_prune_avx2},
};

const Sparse24CompressKernel all_sparse24_compress[] = {
    {"sparse24_compress", Needs::dispatch, nullptr, sparse24_compress},
    {"sparse24_compress_scalar", Needs::scalar, nullptr, sparse24_compress_scalar},
    {"sparse24_compress_avx2", Needs::avx2, nullptr, sparse24_compress_avx2},
};

const Sparse24DecompressKernel all_sparse24_decompress[] = {
    {"sparse24_decompress", Needs::dispatch, nullptr, sparse24_decompress},
    {"sparse24_decompress_scalar", Needs::scalar, nullptr, sparse24_decompress_scalar},
    {"sparse24_decompress_avx2", Needs::avx2, nullptr, sparse24_decompress_avx2},
};

const Sparse24MmKernel all_sparse24_mm[] = {
    {"sparse24_mm", Needs::dispatch, nullptr, sparse24_mm, batch_invariant()},
    {"sparse24_mm_scalar", Needs::scalar, nullptr, sparse24_mm_scalar},
    {"sparse24_mm_decode_avx2", Needs::avx2, nullptr, sparse24_mm_decode_avx2},
    {"sparse24_mm_prefill_avx2", Needs::avx2, nullptr, sparse24_mm_prefill_avx2},
    {"sparse24_mm_decode_avx512", Needs::avx512, nullptr, sparse24_mm_decode_avx512},
    {"sparse24_mm_prefill_avx512", Needs::avx512, nullptr, sparse24_mm_prefill_avx512},
    {"sparse24_mm_prefill_avx512_bf16", Needs::avx512_bf16, supports_sparse24_mm_prefill_bf16, sparse24_mm_prefill_avx512_bf16},
    {"sparse24_mm_decode_avx512_vbmi2", Needs::avx512_vbmi2, supports_sparse24_mm_decode_vbmi2, sparse24_mm_decode_avx512_vbmi2},
};

const Sparse24MmKernel all_sparse24_dynamic_mm[] = {
    {"sparse24_dynamic_mm", Needs::dispatch, nullptr, sparse24_dynamic_mm, batch_invariant()},
    {"sparse24_dynamic_mm_scalar", Needs::scalar, nullptr, sparse24_dynamic_mm_scalar},
    {"sparse24_dynamic_mm_decode_avx2", Needs::avx2, supports_sparse24_dynamic_mm, sparse24_dynamic_mm_decode_avx2},
    {"sparse24_dynamic_mm_prefill_avx2", Needs::avx2, supports_sparse24_dynamic_mm, sparse24_dynamic_mm_prefill_avx2},
    {"sparse24_dynamic_mm_decode_avx512", Needs::avx512, supports_sparse24_dynamic_mm, sparse24_dynamic_mm_decode_avx512},
    {"sparse24_dynamic_mm_prefill_avx512", Needs::avx512, supports_sparse24_dynamic_mm, sparse24_dynamic_mm_prefill_avx512},
};

#endif

struct Row {
  std::string isa;
  const char* skip_reason;  // null if it can run
  int64_t cases;
};

// Kernels of the operators that tests asked for, by name.
std::map<std::string, Row>& rows() {
  static std::map<std::string, Row> all;
  return all;
}

#ifdef TORCHAO_OPS_TEST_CUDA

std::string isa_of(Needs) { return where_kernels_run(); }

const char* reason_to_skip(Needs) { return no_device_reason(); }

bool has_untested_avx512(bool) { return false; }

#else

std::string isa_of(Needs needs) {
  switch (needs) {
    case Needs::dispatch: return "dispatch";
    case Needs::scalar: return "scalar";
    case Needs::avx2: return "avx2";
    case Needs::avx512: return "avx512";
    case Needs::avx512_bf16: return "avx512_bf16";
    case Needs::avx512_vbmi2: return "avx512_vbmi2";
    case Needs::cuda: break;
  }
  return "cuda";
}

bool cpu_can_run(Needs needs) {
  switch (needs) {
    case Needs::dispatch: return true;
    case Needs::scalar: return cpu_has(Isa::scalar);
    case Needs::avx2: return cpu_has(Isa::avx2);
    case Needs::avx512: return cpu_has(Isa::avx512);
    case Needs::avx512_bf16: return cpu_has_avx512_bf16();
    case Needs::avx512_vbmi2: return cpu_has_avx512_vbmi2();
    case Needs::cuda: break;
  }
  return false;
}

const char* reason_to_skip(Needs needs) {
  if (emulated) {
    if (needs == Needs::avx512 || needs == Needs::avx512_bf16 || needs == Needs::avx512_vbmi2) return nullptr;
    return "another program tests what needs no emulation";
  }
  return cpu_can_run(needs) ? nullptr : "this CPU lacks the instruction set";
}

bool has_untested_avx512(bool avx512_ran) { return !emulated && cpu_has(Isa::avx512) && !avx512_ran; }

#endif

template <class Table>
auto runnable(const Table& table) {
  std::vector<std::decay_t<decltype(table[0])>> kernels;
  for (const auto& kernel : table) {
    const char* reason = reason_to_skip(kernel.needs);
    const std::string isa = isa_of(kernel.needs);
    rows().insert({kernel.name, Row{emulated ? isa + ", emulated" : isa, reason, 0}});
    if (reason == nullptr) kernels.push_back(kernel);
  }
  return kernels;
}

}  // namespace

std::vector<Fp8MmKernel> fp8_mm_kernels() { return runnable(all_fp8_mm); }
std::vector<Fp8MmKernel> fp8_dynamic_mm_kernels() { return runnable(all_fp8_dynamic_mm); }
std::vector<Fp8ScaledMmKernel> fp8_scaled_mm_kernels() { return runnable(all_fp8_scaled_mm); }
std::vector<Fp8QuantizeKernel> fp8_quantize_kernels() { return runnable(all_fp8_quantize); }
std::vector<Fp8DequantizeKernel> fp8_dequantize_kernels() { return runnable(all_fp8_dequantize); }
std::vector<Int4MmKernel> int4_mm_kernels() { return runnable(all_int4_mm); }
std::vector<Int4MmKernel> int4_dynamic_mm_kernels() { return runnable(all_int4_dynamic_mm); }
std::vector<Int4QuantizeKernel> int4_quantize_kernels() { return runnable(all_int4_quantize); }
std::vector<Int4DequantizeKernel> int4_dequantize_kernels() { return runnable(all_int4_dequantize); }
std::vector<Int8MmKernel> int8_mm_kernels() { return runnable(all_int8_mm); }
std::vector<Int8MmKernel> int8_dynamic_mm_kernels() { return runnable(all_int8_dynamic_mm); }
std::vector<Int8QuantizeKernel> int8_quantize_kernels() { return runnable(all_int8_quantize); }
std::vector<Int8DequantizeKernel> int8_dequantize_kernels() { return runnable(all_int8_dequantize); }
std::vector<Nf4MmKernel> nf4_mm_kernels() { return runnable(all_nf4_mm); }
std::vector<Nf4MmKernel> nf4_mm_transposed_kernels() { return runnable(all_nf4_mm_transposed); }
std::vector<Nf4QuantizeKernel> nf4_quantize_kernels() { return runnable(all_nf4_quantize); }
std::vector<Nf4QuantizeAbsmaxKernel> nf4_quantize_absmax_kernels() { return runnable(all_nf4_quantize_absmax); }
std::vector<Nf4DequantizeKernel> nf4_dequantize_kernels() { return runnable(all_nf4_dequantize); }
std::vector<Sparse24PruneKernel> sparse24_prune_kernels() { return runnable(all_sparse24_prune); }
std::vector<Sparse24CompressKernel> sparse24_compress_kernels() { return runnable(all_sparse24_compress); }
std::vector<Sparse24DecompressKernel> sparse24_decompress_kernels() { return runnable(all_sparse24_decompress); }
std::vector<Sparse24MmKernel> sparse24_mm_kernels() { return runnable(all_sparse24_mm); }
std::vector<Sparse24MmKernel> sparse24_dynamic_mm_kernels() { return runnable(all_sparse24_dynamic_mm); }

void count_case(const char* kernel_name) { ++rows().at(kernel_name).cases; }

Summary summary() {
  Summary result{"", true};
  bool avx512_ran = false;
  for (const auto& [name, row] : rows()) {
    result.text += "  " + name + " (" + row.isa + "): ";
    if (row.skip_reason != nullptr) {
      result.text += std::string("skipped, ") + row.skip_reason + "\n";
      continue;
    }
    result.text += std::to_string(row.cases) + " cases\n";
    result.complete = result.complete && row.cases > 0;
    avx512_ran = avx512_ran || (row.isa == isa_of(Needs::avx512) && row.cases > 0);
  }
  if (!rows().empty() && has_untested_avx512(avx512_ran)) {
    result.text += "  no avx512 kernel ran, though this CPU has AVX-512\n";
    result.complete = false;
  }
  return result;
}

#ifdef TORCHAO_OPS_TEST_CUDA
const char* skip_reason() { return no_device_reason(); }
#else
const char* skip_reason() { return nullptr; }  // any CPU runs the scalar kernels, and every program has some that it can run
#endif

}  // namespace torchao_ops::test
