#include "csrc/cuda/sparse24_cusparselt.h"

#include "csrc/cuda/cusparselt.h"
#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/sparse24_decompress.h"
#include "csrc/cuda/sparse24_violation.h"

namespace torchao_ops::cuda {
namespace {

constexpr int64_t rounded_up(int64_t size, int64_t multiple) { return ceil_div(size, multiple) * multiple; }
int64_t padded(int64_t size) { return rounded_up(size, cusparselt_weight_multiple); }

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

FloatType float_type(sparse24::ValueType type) { return type == sparse24::ValueType::bf16 ? FloatType::bf16 : FloatType::f16; }

int64_t dense_bytes(const sparse24::Weight& w) { return padded(w.N) * padded(w.K) * sparse24::size_of(w.value_type); }

bool is_aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % cusparselt_alignment == 0; }

// Where things lie in the workspace, in bytes, after cuSPARSELt's; x and y only where theirs are not as cuSPARSELt wants them.
struct Places {
  int64_t M, N, K, scale, x, y, total;
  bool copies_x, copies_y;

  explicit Places(const Sparse24CusparseltMmArgs& args)
      : M(rounded_up(args.mm.M, cusparselt_rows_multiple)), N(padded(args.N)), K(padded(args.K)) {
    const MmArgs& mm = args.mm;
    const int64_t size = size_of(mm.x_type);
    copies_x = M != mm.M || K != args.K || (mm.M > 1 && mm.x_row_stride != K) || !is_aligned(mm.x);
    copies_y = M != mm.M || N != args.N || !is_aligned(mm.y);
    scale = workspace_aligned(cusparselt_workspace_bytes);
    x = scale + (args.scale == nullptr ? 0 : workspace_aligned(N * static_cast<int64_t>(sizeof(float))));
    y = x + (copies_x ? workspace_aligned(M * K * size) : 0);
    total = y + (copies_y ? M * N * size : 0);
  }
};

}  // namespace

Status sparse24_cusparselt_packed_bytes(FloatType type, int64_t N, int64_t K, const Context& context, int64_t* bytes) {
  CusparseLtSizes sizes{};
  const Status status = cusparselt_sizes(type, padded(N), padded(K), context, &sizes);
  *bytes = sizes.packed;
  return status;
}

Status sparse24_cusparselt_compress_workspace_bytes(const Sparse24CusparseltCompressArgs& args, const Context& context,
                                                    int64_t* bytes) {
  const sparse24::Weight& w = args.weight;
  CusparseLtSizes sizes{};
  const Status status = cusparselt_sizes(float_type(w.value_type), padded(w.N), padded(w.K), context, &sizes);
  *bytes = workspace_aligned(dense_bytes(w)) + sizes.scratch;
  return status;
}

Status sparse24_cusparselt_compress(const Sparse24CusparseltCompressArgs& args, const Context& context) {
  const sparse24::Weight& w = args.weight;
  uint8_t* const workspace = static_cast<uint8_t*>(context.workspace);
  Status status = check_row_length(w.K);
  if (status == Status::ok) status = sparse24_find_violation(w, args.violation, context);
  if (status != Status::ok) return status;
  const cudaError_t error = cudaMemsetAsync(workspace, 0, static_cast<size_t>(dense_bytes(w)), context.stream);
  if (error != cudaSuccess) return set_last_error(Status::cuda_failed, "cudaMemsetAsync", cudaGetErrorString(error));
  status = sparse24_decompress_rows(w, workspace, padded(w.K), context);
  if (status != Status::ok) return status;
  CusparseLtCompressArgs compress{};
  compress.type = float_type(w.value_type);
  compress.weight = workspace;
  compress.N = padded(w.N);
  compress.K = padded(w.K);
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
  product.type = mm.x_type;
  product.x = places.copies_x ? workspace + places.x : mm.x;
  product.packed = args.packed;
  product.scale = args.scale == nullptr ? nullptr : reinterpret_cast<const float*>(workspace + places.scale);
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
  if (args.scale != nullptr) {
    status =
        copy_padded({args.scale, args.scale_type, 1, args.N, 0}, workspace + places.scale, FloatType::f32, 1, places.N, context);
  }
  if (status == Status::ok && places.copies_x) {
    status = copy_padded({mm.x, mm.x_type, mm.M, args.K, mm.x_row_stride}, workspace + places.x, mm.x_type, places.M, places.K,
                         context);
  }
  if (status == Status::ok) status = cusparselt_matmul(product, context);
  if (status != Status::ok || !places.copies_y) return status;
  return copy_padded({product.y, mm.x_type, mm.M, args.N, places.N}, mm.y, mm.x_type, mm.M, args.N, context);
}

}  // namespace torchao_ops::cuda
