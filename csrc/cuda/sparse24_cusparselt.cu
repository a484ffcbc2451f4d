#include "csrc/cuda/sparse24_cusparselt.h"

#include "csrc/cuda/cusparselt.h"
#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/mm_sums.cuh"
#include "csrc/cuda/quantize_activations.h"
#include "csrc/cuda/sparse24_codes.cuh"
#include "csrc/cuda/sparse24_decompress.h"
#include "csrc/cuda/sparse24_dynamic_mm.h"
#include "csrc/cuda/sparse24_violation.h"

namespace torchao_ops::cuda {
namespace {

constexpr int64_t rounded_up(int64_t size, int64_t multiple) { return ceil_div(size, multiple) * multiple; }

// The sizes of a weight [N, K] in cuSPARSELt's layout. Rows of bytes are as long as those of x, rounded to them.
struct Padded {
  int64_t N, K;

  Padded(sparse24::ValueType type, int64_t rows, int64_t columns)
      : N(rounded_up(rows, cusparselt_weight_multiple(type))),
        K(sparse24::size_of(type) == 1 ? quantized_row_elements(columns)
                                       : rounded_up(columns, cusparselt_weight_multiple(type))) {}
  explicit Padded(const sparse24::Weight& w) : Padded(w.value_type, w.N, w.K) {}
};

// Rows of floats somewhere in memory.
struct Rows {
  const void* data;
  FloatType type;
  int64_t rows, columns, stride;
};

// to [rows, columns] adjacent, of to_type: the elements of `from` and zeros.
__global__ void __launch_bounds__(matrix_threads)
    copy_padded_kernel(Rows from, void* to, FloatType to_type, int64_t rows, int64_t columns) {
  for_each_in_matrix(rows, columns, [&](int64_t row, int64_t column) {
    const bool is_there = row < from.rows && column < from.columns;
    const float value = is_there ? load_float(from.data, from.type, row * from.stride + column) : 0.0f;
    store_float(value, to, to_type, row * columns + column);
  });
}
Status copy_padded(const Rows& from, void* to, FloatType to_type, int64_t rows, int64_t columns, const Context& context) {
  return launch("copy_padded_kernel", copy_padded_kernel, matrix_grid(rows, columns), matrix_block(rows), 0, context.stream, from,
                to, to_type, rows, columns);
}

sparse24::ValueType value_type(FloatType type) {
  return type == FloatType::bf16 ? sparse24::ValueType::bf16 : sparse24::ValueType::f16;
}

int64_t dense_bytes(const sparse24::Weight& w) {
  const Padded padded(w);
  return padded.N * padded.K * sparse24::size_of(w.value_type);
}

bool is_aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % cusparselt_alignment == 0; }

// Where things lie in the workspace, in bytes, after cuSPARSELt's; x and y only where theirs are not as cuSPARSELt wants them.
struct Places {
  int64_t M, N, K, x, y, total;
  bool copies_x, copies_y;

  explicit Places(const Sparse24CusparseltMmArgs& args) {
    const MmArgs& mm = args.mm;
    const Padded weight(value_type(mm.x_type), args.N, args.K);
    M = rounded_up(mm.M, cusparselt_rows_multiple(value_type(mm.x_type)));
    N = weight.N;
    K = weight.K;
    const int64_t size = size_of(mm.x_type);
    copies_x = M != mm.M || K != args.K || (mm.M > 1 && mm.x_row_stride != K) || !is_aligned(mm.x);
    copies_y = M != mm.M || N != args.N || !is_aligned(mm.y);
    x = workspace_aligned(cusparselt_workspace_bytes);
    y = x + (copies_x ? workspace_aligned(M * K * size) : 0);
    total = y + (copies_y ? M * N * size : 0);
  }
};

bool is_int8(const Sparse24CusparseltDynamicMmArgs& args) { return args.product.weight.value_type == sparse24::ValueType::int8; }
bool sums_fit(const Sparse24CusparseltDynamicMmArgs& args) { return !is_int8(args) || args.product.weight.K <= sparse24_exact_k; }

// The same behind the rounded x, and with how many rows of x the weight is multiplied at a time. What follows a row of x that is not a multiple is in
// sums that nobody reads.
struct DynamicPlaces {
  Padded weight;
  int64_t M, rows, sums, total;

  explicit DynamicPlaces(const Sparse24MmArgs& args) : weight(args.weight) {
    const int64_t row_bytes = weight.N * static_cast<int64_t>(sizeof(int32_t));
    static_assert(sizeof(int32_t) == sizeof(float), "sums of both types");
    M = rounded_up(args.mm.M, cusparselt_rows_multiple(args.weight.value_type));
    rows = rows_of_sums(M, row_bytes);
    sums = workspace_aligned(cusparselt_workspace_bytes);
    total = sums + rows * row_bytes;
  }
};

template <class Total>
Status multiply_dynamic(const Sparse24CusparseltDynamicMmArgs& args, const QuantizedX& x, const Context& context) {
  const Sparse24MmArgs& mm = args.product;
  const DynamicPlaces places(mm);
  uint8_t* const workspace = static_cast<uint8_t*>(x.rest);
  const Product<Sparse24> product{mm.mm, mm.weight, x.scale};
  const Sums<Total> sums{reinterpret_cast<const Total*>(workspace + places.sums), places.weight.N, 0, mm.weight.N, nullptr};
  Status status = Status::ok;
  for (int64_t m = 0; m < places.M && status == Status::ok; m += places.rows) {
    CusparseLtMatmulArgs part{};
    part.type = mm.weight.value_type;
    part.x = x.q + m * x.row_bytes;
    part.packed = args.packed;
    part.y = workspace + places.sums;
    part.M = std::min(places.rows, places.M - m);
    part.N = places.weight.N;
    part.K = places.weight.K;
    part.workspace = workspace;
    status = cusparselt_matmul(part, context);
    if (status == Status::ok) status = finish_sums(product, m, std::min(part.M, mm.mm.M - m), sums, context);
  }
  return status;
}

}  // namespace

Status sparse24_cusparselt_packed_bytes(sparse24::ValueType type, int64_t N, int64_t K, const Context& context, int64_t* bytes) {
  CusparseLtSizes sizes{};
  const Padded padded(type, N, K);
  const Status status = cusparselt_sizes(type, padded.N, padded.K, context, &sizes);
  *bytes = sizes.packed;
  return status;
}

Status sparse24_cusparselt_compress_workspace_bytes(const Sparse24CusparseltCompressArgs& args, const Context& context,
                                                    int64_t* bytes) {
  const sparse24::Weight& w = args.weight;
  CusparseLtSizes sizes{};
  const Padded padded(w);
  const Status status = cusparselt_sizes(w.value_type, padded.N, padded.K, context, &sizes);
  *bytes = workspace_aligned(dense_bytes(w)) + sizes.scratch;
  return status;
}

Status sparse24_cusparselt_compress(const Sparse24CusparseltCompressArgs& args, const Context& context) {
  const sparse24::Weight& w = args.weight;
  const Padded padded(w);
  uint8_t* const workspace = static_cast<uint8_t*>(context.workspace);
  Status status = check_row_length(w.K);
  if (status == Status::ok) status = sparse24_find_violation(w, args.violation, context);
  if (status != Status::ok) return status;
  const cudaError_t error = cudaMemsetAsync(workspace, 0, static_cast<size_t>(dense_bytes(w)), context.stream);
  if (error != cudaSuccess) return set_last_error(Status::cuda_failed, "cudaMemsetAsync", cudaGetErrorString(error));
  status = sparse24_decompress_rows(w, workspace, padded.K, context);
  if (status != Status::ok) return status;
  CusparseLtCompressArgs compress{};
  compress.type = w.value_type;
  compress.weight = workspace;
  compress.N = padded.N;
  compress.K = padded.K;
  compress.packed = args.packed;
  compress.scratch = workspace + workspace_aligned(dense_bytes(w));
  return cusparselt_compress(compress, context);
}

int64_t sparse24_cusparselt_mm_workspace_bytes(const Sparse24CusparseltMmArgs& args, const Device&) { return Places(args).total; }

Status sparse24_cusparselt_mm(const Sparse24CusparseltMmArgs& args, const Context& context) {
  const MmArgs& mm = args.mm;
  const Places places(args);
  uint8_t* const workspace = static_cast<uint8_t*>(context.workspace);
  CusparseLtMatmulArgs product{};
  product.type = value_type(mm.x_type);
  product.x = places.copies_x ? workspace + places.x : mm.x;
  product.packed = args.packed;
  product.y = places.copies_y ? workspace + places.y : mm.y;
  product.M = places.M;
  product.N = places.N;
  product.K = places.K;
  product.workspace = workspace;
  if (mm.bias != nullptr) {
    product.fill_y = [&] {  // every row of y is the bias
      return copy_padded({mm.bias, mm.bias_type, places.M, args.N, 0}, product.y, mm.x_type, places.M, places.N, context);
    };
  }
  Status status = Status::ok;
  if (places.copies_x) {
    status = copy_padded({mm.x, mm.x_type, mm.M, args.K, mm.x_row_stride}, workspace + places.x, mm.x_type, places.M, places.K,
                         context);
  }
  if (status == Status::ok) status = cusparselt_matmul(product, context);
  if (status != Status::ok || !places.copies_y) return status;
  return copy_padded({product.y, mm.x_type, mm.M, args.N, places.N}, mm.y, mm.x_type, mm.M, args.N, context);
}

int64_t sparse24_cusparselt_dynamic_mm_workspace_bytes(const Sparse24CusparseltDynamicMmArgs& args, const Device& device) {
  if (!sums_fit(args)) return sparse24_dynamic_mm_workspace_bytes(args.product, device);
  const DynamicPlaces places(args.product);
  return QuantizedX::bytes(places.M, args.product.weight.K) + places.total;
}

Status sparse24_cusparselt_dynamic_mm(const Sparse24CusparseltDynamicMmArgs& args, const Context& context) {
  if (!sums_fit(args)) return sparse24_dynamic_mm(args.product, context);
  const Sparse24MmArgs& mm = args.product;
  const int64_t K = mm.weight.K;
  Status status = check_row_length(K);
  if (status == Status::ok) status = sparse24_find_violation(mm.weight, mm.violation, context);
  if (status != Status::ok) return status;
  const QuantizedX x(DynamicPlaces(mm).M, K, context.workspace);
  status = is_int8(args) ? quantize_activations(mm.mm, K, OctetOrder::natural, x, context)
                         : round_activations_to_codes(mm.mm, K, Float8Type::e4m3fn, x, context);
  if (status != Status::ok) return status;
  return is_int8(args) ? multiply_dynamic<int32_t>(args, x, context) : multiply_dynamic<float>(args, x, context);
}

}  // namespace torchao_ops::cuda
