#include "csrc/cuda/sparse24_dynamic_mm_prefill.h"

#include "csrc/cuda/dequantize.cuh"
#include "csrc/cuda/gemm.h"
#include "csrc/cuda/mm_prefill.cuh"
#include "csrc/cuda/mm_sums.cuh"
#include "csrc/cuda/sparse24_codes.cuh"
#include "csrc/cuda/sparse24_decompress.h"
#include "csrc/cuda/sparse24_violation.h"

namespace torchao_ops::cuda {
namespace {

bool is_int8(const Sparse24MmArgs& args) { return args.weight.value_type == sparse24::ValueType::int8; }

// Of an element of the dense weight, and of x: int8, or the numbers of e4m3fn in fp16, which has them all.
int64_t element_bytes(const Sparse24MmArgs& args) { return is_int8(args) ? 1 : sizeof(__half); }

// What lies where in the workspace behind the rounded x, in bytes, how many rows of the weight are made dense at a time, and with how many rows of x they
// are multiplied. Sizes of the dense weight are multiples of 4, as int8_gemm wants them: elements that are there for that alone meet zeros of x, or are in
// sums that nobody reads.
struct Places {
  int64_t K, weight_rows, rows, weight, violations, sums, total;

  explicit Places(const Sparse24MmArgs& args) {
    K = ceil_div(args.weight.K, 4) * 4;
    weight_rows = rows_of_weight(ceil_div(args.weight.N, 4) * 4, K * element_bytes(args));
    const int64_t row_bytes = weight_rows * static_cast<int64_t>(sizeof(int32_t));
    static_assert(sizeof(int32_t) == sizeof(float), "sums of both types");
    rows = rows_of_sums(args.mm.M, row_bytes);
    weight = workspace_aligned(gemm_workspace_bytes);
    violations = weight + workspace_aligned(weight_rows * K * element_bytes(args));
    sums = violations + (is_int8(args) ? workspace_aligned(weight_rows * static_cast<int64_t>(sizeof(int64_t))) : 0);
    total = sums + rows * row_bytes;
  }
};

// Rows [n, n + count) of a weight, whose scales are for the end.
sparse24::Weight rows_without_scales(sparse24::Weight w, int64_t n, int64_t count) {
  w.values = static_cast<const uint8_t*>(w.values) + n * w.value_row_stride * sparse24::size_of(w.value_type);
  w.bitmask += n * w.bitmask_row_stride;
  w.scale = nullptr;
  w.N = count;
  return w;
}

// The product of all of x with rows [n, n + count) of the weight.
struct Part {
  const Sparse24MmArgs& args;
  const QuantizedX& x;
  const Places& places;
  int64_t n, count;

  uint8_t* at(int64_t place) const { return static_cast<uint8_t*>(x.rest) + place; }
  int64_t columns() const { return ceil_div(count, 4) * 4; }

  // sum(m, rows) forms those of rows [m, m + rows) of x.
  template <class Total, class Sum>
  Status multiply(const int64_t* violations, const Sum& sum, const Context& context) const {
    const Product<Sparse24> product{args.mm, args.weight, x.scale};
    const Sums<Total> sums{reinterpret_cast<const Total*>(at(places.sums)), columns(), n, count, violations};
    Status status = Status::ok;
    for (int64_t m = 0; m < args.mm.M && status == Status::ok; m += places.rows) {
      const int64_t rows = std::min(places.rows, args.mm.M - m);
      status = sum(m, rows);
      if (status == Status::ok) status = finish_sums(product, m, rows, sums, context);
    }
    return status;
  }

  Status multiply_int8(const Context& context) const {
    const sparse24::Weight w = rows_without_scales(args.weight, n, count);
    int64_t* const violations = reinterpret_cast<int64_t*>(at(places.violations));
    Status status = sparse24_find_violations(w, violations, context);
    if (status == Status::ok) status = sparse24_decompress_rows(w, at(places.weight), places.K, context);
    if (status != Status::ok) return status;
    const auto sum = [&](int64_t m, int64_t rows) {
      Int8GemmArgs gemm{};
      gemm.x = reinterpret_cast<const int8_t*>(x.q) + m * x.row_bytes;
      gemm.x_row_stride = x.row_bytes;
      gemm.w = reinterpret_cast<const int8_t*>(at(places.weight));
      gemm.w_row_stride = places.K;
      gemm.y = reinterpret_cast<int32_t*>(at(places.sums));
      gemm.M = rows;
      gemm.N = columns();
      gemm.K = places.K;
      gemm.workspace = at(0);
      return int8_gemm(gemm, context);
    };
    return multiply<int32_t>(violations, sum, context);
  }

  // A quad that keeps too many is NaN here.
  Status multiply_e4m3fn(const Context& context) const {
    const int64_t K = args.weight.K;
    const Status status = run_dequantize<Sparse24>(rows_without_scales(args.weight, n, count), {0, count, 0, K},
                                                   at(places.weight), FloatType::f16, context);
    if (status != Status::ok) return status;
    const auto sum = [&](int64_t m, int64_t rows) {
      GemmArgs product{};
      product.type = FloatType::f16;
      product.y_is_f32 = true;
      product.x = x.q + m * x.row_bytes;
      product.x_row_stride = x.row_bytes / element_bytes(args);
      product.w = at(places.weight);
      product.w_row_stride = K;
      product.y = at(places.sums);
      product.y_row_stride = columns();
      product.M = rows;
      product.N = count;
      product.K = K;
      product.workspace = at(0);
      return gemm(product, context);
    };
    return multiply<float>(nullptr, sum, context);
  }
};

}  // namespace

bool supports_sparse24_dynamic_mm_prefill(const Sparse24MmArgs& args) {
  const sparse24::Weight& w = args.weight;
  return args.mm.M > 0 && w.N > 0 && w.K > 0 && (!is_int8(args) || w.K <= sparse24_exact_k);
}

int64_t sparse24_dynamic_mm_prefill_workspace_bytes(const Sparse24MmArgs& args, const Device&) {
  return QuantizedX::bytes(args.mm.M, args.weight.K, element_bytes(args)) + Places(args).total;
}

Status sparse24_dynamic_mm_prefill(const Sparse24MmArgs& args, const Context& context) {
  const int64_t K = args.weight.K, N = args.weight.N;
  const QuantizedX x(args.mm.M, K, context.workspace, element_bytes(args));
  const Places places(args);
  Status status = sparse24_find_violation(args.weight, args.violation, context);
  if (status != Status::ok) return status;
  status = is_int8(args) ? quantize_activations(args.mm, K, OctetOrder::natural, x, context)
                         : round_activations(args.mm, K, Float8Type::e4m3fn, x, context);
  for (int64_t n = 0; n < N && status == Status::ok; n += places.weight_rows) {
    const Part part{args, x, places, n, std::min(places.weight_rows, N - n)};
    status = is_int8(args) ? part.multiply_int8(context) : part.multiply_e4m3fn(context);
  }
  return status;
}

}  // namespace torchao_ops::cuda
