#include "csrc/cuda/quantize_activations.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/ptx.cuh"
#include "csrc/cuda/warp.cuh"
#include "csrc/spec/float8.h"

namespace torchao_ops::cuda {
namespace {

constexpr int threads = 256;

// Where the quotients x / scale of an octet go: to int8, to an 8-bit float, or to its numbers in fp16.
struct ToInt8 {
  OctetOrder order;
  uint8_t* q;
  int64_t row_bytes;

  static constexpr float largest = 127;
  __device__ __forceinline__ void store(int64_t m, int64_t octet, const float (&quotients)[8]) const {
    uint32_t codes[2] = {};
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float code = fminf(fmaxf(rintf(quotients[i]), -largest), largest);
      codes[i / 4] |= (static_cast<uint32_t>(static_cast<int>(code)) & 0xffu) << 8 * (i % 4);
    }
    uint8_t* step = q + m * row_bytes + quantized_place(order, 8 * octet);
    const bool even_odd = order == OctetOrder::even_odd;
    *reinterpret_cast<uint32_t*>(step) = even_odd ? __byte_perm(codes[0], codes[1], 0x6420) : codes[0];
    *reinterpret_cast<uint32_t*>(step + (order == OctetOrder::natural ? 4 : 16)) =
        even_odd ? __byte_perm(codes[0], codes[1], 0x7531) : codes[1];
  }
};
template <class Code>
struct ToFloat8Codes {
  uint8_t* q;
  int64_t row_bytes;

  static constexpr float largest = Code::largest;
  __device__ __forceinline__ void store(int64_t m, int64_t octet, const float (&quotients)[8]) const {
    alignas(8) Code codes[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) from_float(quotients[i], &codes[i]);
    *reinterpret_cast<uint2*>(q + m * row_bytes + 8 * octet) = *reinterpret_cast<const uint2*>(codes);
  }
};
template <class Code>
struct ToFloat8 {
  uint8_t* q;
  int64_t row_bytes;

  static constexpr float largest = Code::largest;
  __device__ __forceinline__ void store(int64_t m, int64_t octet, const float (&quotients)[8]) const {
    alignas(16) __half numbers[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      Code code;
      from_float(quotients[i], &code);
      numbers[i] = round_to<__half>(to_float(code));
    }
    *reinterpret_cast<uint4*>(q + m * row_bytes + 16 * octet) = *reinterpret_cast<const uint4*>(numbers);
  }
};

// A block takes a row: its largest magnitude first, then the codes. A thread takes octets. The row is read twice, the second time from the cache.
template <class T, class Target>
__global__ void __launch_bounds__(threads)
    quantize_activations_kernel(const T* x, int64_t x_row_stride, int64_t K, Target target, float* scale) {
  TORCHAO_OPS_SHARED_ARRAY(uint32_t, warp_bits, [threads / 32]);
  const int64_t m = blockIdx.x;
  const T* row = x + m * x_row_stride;
  uint32_t bits = 0;
  for (int64_t k = 8 * threadIdx.x; k < K; k += 8 * threads) {
    float values[8];
    load_octet(row, k, K, values);
#pragma unroll
    for (int i = 0; i < 8; ++i) bits = larger(bits, magnitude_bits(values[i]));
  }
  bits = warp_reduce(bits, larger);
  if (threadIdx.x % 32 == 0) warp_bits[threadIdx.x / 32] = bits;
  __syncthreads();
  for (int warp = 0; warp < threads / 32; ++warp) bits = larger(bits, warp_bits[warp]);
  const float magnitude = float_from_bits(bits), row_scale = __fdiv_rn(magnitude, Target::largest);
  const bool quantized = is_finite(magnitude) && row_scale != 0;
  if (threadIdx.x == 0) scale[m] = quantized || magnitude == 0 ? row_scale : quiet_nan();

  for (int64_t octet = threadIdx.x; octet < quantized_row_elements(K) / 8; octet += threads) {
    float quotients[8] = {};
    if (quantized) {
      load_octet(row, 8 * octet, K, quotients);
#pragma unroll
      for (int i = 0; i < 8; ++i) quotients[i] = __fdiv_rn(quotients[i], row_scale);
    }
    target.store(m, octet, quotients);
  }
}

template <class Target>
Status quantize_to(const Target& target, const MmArgs& mm, int64_t K, float* scale, const Context& context) {
  return with_float_type(mm.x_type, [&](auto type) {
    using T = decltype(type);
    return launch("quantize_activations_kernel", quantize_activations_kernel<T, Target>, dim3(static_cast<unsigned>(mm.M)),
                  dim3(threads), 0, context.stream, static_cast<const T*>(mm.x), mm.x_row_stride, K, target, scale);
  });
}

template <template <class> class Target>
Status quantize_to_float8(const MmArgs& mm, int64_t K, Float8Type type, const QuantizedX& x, const Context& context) {
  return type == Float8Type::e4m3fn ? quantize_to(Target<Float8E4m3fn>{x.q, x.row_bytes}, mm, K, x.scale, context)
                                    : quantize_to(Target<Float8E5m2>{x.q, x.row_bytes}, mm, K, x.scale, context);
}

}  // namespace

Status quantize_activations(const MmArgs& mm, int64_t K, OctetOrder order, const QuantizedX& x, const Context& context) {
  return quantize_to(ToInt8{order, x.q, x.row_bytes}, mm, K, x.scale, context);
}

Status round_activations(const MmArgs& mm, int64_t K, Float8Type type, const QuantizedX& x, const Context& context) {
  return quantize_to_float8<ToFloat8>(mm, K, type, x, context);
}

Status round_activations_to_codes(const MmArgs& mm, int64_t K, Float8Type type, const QuantizedX& x, const Context& context) {
  return quantize_to_float8<ToFloat8Codes>(mm, K, type, x, context);
}

}  // namespace torchao_ops::cuda
