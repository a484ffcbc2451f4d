#include "csrc/cuda/fp8_product.h"

#include <algorithm>

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/fp8_dequantize.h"
#include "csrc/cuda/gemm.h"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/mm_prefill.cuh"
#include "csrc/cuda/mm_sums.cuh"

namespace torchao_ops::cuda {
namespace {

// What is multiplied: the numbers in fp8; the numbers in bf16, which has all of both types; or numbers times scales, in fp32 as the contract
// wants them. The sums are fp32, and a last kernel applies scales that do not vary along k.
enum class Way { fp8, bf16, f32 };

bool has_scales_of_rows(const fp8::Weight& w) { return w.group_size >= w.K; }
bool has_scales_along_k(const Fp8ScaledMmArgs& args) { return !has_scales_of_rows(args.a) || !has_scales_of_rows(args.b); }

bool may_multiply_fp8(const Fp8ScaledMmArgs& args, const Device& device) {
  const auto suits = [](const fp8::Weight& w) { return has_scales_of_rows(w) || w.group_size == fp8::block; };
  return fp8_gemm_has(args.a.type, args.b.type, has_scales_along_k(args), device) &&
         (!has_scales_along_k(args) || (suits(args.a) && suits(args.b)));
}

constexpr int64_t multiple(int64_t value, int64_t of) { return ceil_div(value, of) * of; }

// The scale of row n and group 0, or `group`. A 64-bit division is a call.
__device__ __forceinline__ float scale_of(const fp8::Weight& w, int64_t n, int64_t group) {
  const int64_t block = w.row_block == 1 ? n : n < w.row_block ? 0 : n / w.row_block;
  return load_float(w.scale, w.scale_type, block * w.scale_row_stride + group * w.scale_column_stride);
}
__device__ __forceinline__ float value_of(const fp8::Weight& w, int64_t n, int64_t k) {
  return w.number(n, k) * scale_of(w, n, group_of(k, w.group_size));
}

// Rows [first, first + rows) of an operand in the workspace, in a way of multiplying. In fp8: zeros beyond its rows and columns.
struct Part {
  fp8::Weight w;
  int64_t first, rows;
  int64_t padded_rows, padded_columns;
};

// The codes, in fp8's way: a thread takes 8.
__global__ void __launch_bounds__(matrix_threads) fp8_pad_kernel(Part part, uint8_t* out) {
  for_each_in_matrix(part.padded_rows, part.padded_columns / 8, [&](int64_t row, int64_t octet) {
    const uint64_t codes =
        row < part.rows && 8 * octet < part.w.K ? load_int8_octet(part.w.row(part.first + row), 8 * octet, part.w.K) : 0;
    *reinterpret_cast<uint64_t*>(out + row * part.padded_columns + 8 * octet) = codes;
  });
}

// The scales as fp8_gemm wants them, also those of rows: one for each 128 elements of a row,
__global__ void __launch_bounds__(matrix_threads) fp8_gemm_group_scales_kernel(Part part, int64_t groups, float* out) {
  for_each_in_matrix(groups, part.padded_rows, [&](int64_t group, int64_t row) {
    const int64_t of = part.w.group_size >= part.w.K ? 0 : group;
    out[group * part.padded_rows + row] = row < part.rows ? scale_of(part.w, part.first + row, of) : 0.0f;
  });
}
// or one for each 128 x 128.
__global__ void __launch_bounds__(matrix_threads)
    fp8_gemm_block_scales_kernel(Part part, int64_t blocks, int64_t groups, int64_t stride, float* out) {
  for_each_in_matrix(blocks, stride, [&](int64_t block, int64_t group) {
    out[block * stride + group] = group < groups ? scale_of(part.w, part.first + block * fp8::block, group) : 0.0f;
  });
}

// The numbers in bf16.
__global__ void __launch_bounds__(matrix_threads) fp8_numbers_kernel(Part part, __nv_bfloat16* out) {
  const fp8::Weight& w = part.w;
  for_each_in_matrix(part.rows, ceil_div(w.K, 8), [&](int64_t row, int64_t octet) {
    const int64_t n = part.first + row, k = 8 * octet;
    const uint64_t codes = load_int8_octet(w.row(n), k, w.K);
    for (int i = 0; i < 8 && k + i < w.K; ++i) {
      const uint8_t code = static_cast<uint8_t>(codes >> 8 * i);
      out[row * w.K + k + i] = round_to<__nv_bfloat16>(load_float8(&code, w.type, 0));
    }
  });
}

// Sums of rows [m, m + rows) of a and [n, n + columns) of b, `stride` apart. Null: there are no elements to add.
struct PartSums {
  const float* data;
  int64_t stride, m, rows, n, columns;
};

// y from them.
//
// A sum that is not finite is formed again, element by element: where a scale is Inf, or a row of x was not quantized, it need not be what the
// definition gives.
__global__ void __launch_bounds__(256) fp8_finish_kernel(Fp8Product product, PartSums sums, bool applies_scales) {
  const fp8::Weight &a = product.args.a, &b = product.args.b;
  const int64_t column = int64_t{blockIdx.x} * 256 + threadIdx.x, n = sums.n + column;
  if (column >= sums.columns) return;
  const float b_scale = applies_scales ? scale_of(b, n, 0) : 1.0f;
  for (int64_t row = blockIdx.y; row < sums.rows; row += gridDim.y) {
    const int64_t m = sums.m + row;
    float sum = sums.data == nullptr ? 0.0f : sums.data[row * sums.stride + column];
    if (applies_scales) sum = sum * b_scale * scale_of(a, m, 0);
    if (!is_finite(sum)) {
      sum = 0;
      for (int64_t k = 0; k < b.K; ++k) {
        const float left =
            product.x == nullptr ? value_of(a, m, k) : load_float(product.x, product.x_type, m * product.x_row_stride + k);
        sum = __fmaf_rn(left, value_of(b, n, k), sum);
      }
    }
    if (product.args.bias != nullptr) sum += load_float(product.args.bias, product.args.bias_type, n);
    store_float(sum, product.args.y, product.args.y_type, m * b.N + n);
  }
}

// An operand of a way: how many of its rows are multiplied at a time, and what they take of the workspace.
struct Operand {
  const fp8::Weight& w;
  Way way;
  Fp8GemmScaling scaling;
  int64_t row_multiple, columns;  // padded
  int64_t rows;                   // at a time
  bool in_place;                  // fp8 that needs no padding

  int64_t element_bytes() const { return way == Way::fp8 ? 1 : way == Way::bf16 ? 2 : 4; }
  int64_t row_bytes() const { return columns * element_bytes(); }
  int64_t padded(int64_t count) const { return multiple(count, row_multiple); }
  int64_t matrix_bytes() const { return in_place ? 0 : workspace_aligned(padded(rows) * row_bytes()); }
  int64_t scale_bytes() const {
    const int64_t elements = scaling == Fp8GemmScaling::none    ? 0
                             : scaling == Fp8GemmScaling::group ? padded(rows) * ceil_div(w.K, fp8::block)
                                                                : ceil_div(padded(rows), fp8::block) * fp8_gemm_block_stride(w.K);
    return workspace_aligned(elements * static_cast<int64_t>(sizeof(float)));
  }
  Part part(int64_t first, int64_t count) const { return {w, first, count, padded(count), columns}; }
};

Operand operand_of(const fp8::Weight& w, Way way, Fp8GemmScaling scaling, int64_t row_multiple) {
  Operand operand{w, way, scaling, 1, w.K, 0, false};
  if (way != Way::fp8) return operand;
  operand.row_multiple = row_multiple;
  operand.columns = multiple(w.K, fp8_gemm_k_multiple);
  // Only what lies as a contiguous tensor does, so that cuBLASLt is asked the same for a copy of it and gives the same bits.
  operand.in_place = w.N % row_multiple == 0 && operand.columns == w.K && (w.N == 1 || w.row_stride == w.K) &&
                     reinterpret_cast<uintptr_t>(w.codes) % workspace_alignment == 0;
  return operand;
}

// How a product is cut, and what lies where in the workspace, in bytes. Up to 64 MiB of each operand and of sums, to bound the workspace, but at
// least as many rows as keep a device busy. Multiples of 256 rows: blocks of 128 begin with a part, and addresses are as aligned as those of the
// whole.
struct Plan {
  Operand a, b;
  int64_t b_matrix, a_scale, b_scale, a_matrix, sums, total;

  Plan(const Fp8ScaledMmArgs& args, Way way)
      : a(operand_of(args.a, way, scaling_of(args, way, false), has_scales_along_k(args) ? fp8_gemm_m_multiple_with_scales : 1)),
        b(operand_of(args.b, way, scaling_of(args, way, true), fp8_gemm_n_multiple)) {
    b.rows = rows_of_weight(b.w.N, b.row_bytes());
    const int64_t sum_row_bytes = b.padded(b.rows) * static_cast<int64_t>(sizeof(float));
    a.rows = rows_of_sums(a.w.N, std::max(a.row_bytes(), sum_row_bytes));
    a_matrix = workspace_aligned(gemm_workspace_bytes);
    a_scale = a_matrix + a.matrix_bytes();
    b_matrix = a_scale + a.scale_bytes();
    b_scale = b_matrix + b.matrix_bytes();
    sums = b_scale + b.scale_bytes();
    total = sums + a.padded(a.rows) * sum_row_bytes;
  }
  // cuBLASLt does not take blocks in both operands: a's become groups, 4 bytes for 128 of its codes.
  static Fp8GemmScaling scaling_of(const Fp8ScaledMmArgs& args, Way way, bool of_b) {
    if (way != Way::fp8 || !has_scales_along_k(args)) return Fp8GemmScaling::none;
    const bool has_blocks = of_b && args.b.row_block == fp8::block && !has_scales_of_rows(args.b);
    return has_blocks ? Fp8GemmScaling::block : Fp8GemmScaling::group;
  }

  // body(m, rows, n, columns) for each part of y.
  template <class Body>
  Status for_each_part(const Body& body) const {
    for (int64_t n = 0; n < b.w.N; n += b.rows) {
      for (int64_t m = 0; m < a.w.N; m += a.rows) {
        const Status status = body(m, std::min(a.rows, a.w.N - m), n, std::min(b.rows, b.w.N - n));
        if (status != Status::ok) return status;
      }
    }
    return Status::ok;
  }
};

// One part of an operand at `matrix` and `scale` in the workspace.
struct Prepared {
  const void* data;
  int64_t row_stride;
  const float* scale;
};

Prepared place(const Operand& operand, int64_t first, uint8_t* matrix, uint8_t* scale) {
  Prepared prepared{matrix, operand.columns, nullptr};
  if (operand.in_place) prepared = {operand.w.row(first), operand.w.row_stride, nullptr};
  if (operand.scaling != Fp8GemmScaling::none) prepared.scale = reinterpret_cast<const float*>(scale);
  return prepared;
}

Status prepare(const Operand& operand, int64_t first, int64_t count, uint8_t* matrix, uint8_t* scale, const Context& context) {
  const Part part = operand.part(first, count);
  Status status = Status::ok;
  const auto run = [&](const char* name, auto kernel, int64_t rows, int64_t columns, const auto&... arguments) {
    if (status == Status::ok) {
      status = launch(name, kernel, matrix_grid(rows, columns), matrix_block(rows), 0, context.stream, part, arguments...);
    }
  };
  const int64_t octets = ceil_div(part.padded_columns, 8), groups = ceil_div(part.w.K, fp8::block);
  float* const scales = reinterpret_cast<float*>(scale);
  switch (operand.way) {
    case Way::fp8:
      if (!operand.in_place) run("fp8_pad_kernel", fp8_pad_kernel, part.padded_rows, octets, matrix);
      break;
    case Way::bf16: run("fp8_numbers_kernel", fp8_numbers_kernel, count, octets, reinterpret_cast<__nv_bfloat16*>(matrix)); break;
    case Way::f32:
      status = fp8_dequantize_part({operand.w, matrix, FloatType::f32}, {first, count, 0, operand.w.K}, context);
      break;
  }
  if (operand.scaling == Fp8GemmScaling::group) {
    run("fp8_gemm_group_scales_kernel", fp8_gemm_group_scales_kernel, groups, part.padded_rows, groups, scales);
  }
  if (operand.scaling == Fp8GemmScaling::block) {
    const int64_t blocks = ceil_div(count, fp8::block), stride = fp8_gemm_block_stride(part.w.K);
    run("fp8_gemm_block_scales_kernel", fp8_gemm_block_scales_kernel, blocks, stride, blocks, groups, stride, scales);
  }
  return status;
}

Status finish(const Fp8Product& product, const PartSums& sums, const Context& context) {
  const bool applies_scales = sums.data != nullptr && !has_scales_along_k(product.args);
  return launch("fp8_finish_kernel", fp8_finish_kernel, grid_of(ceil_div(sums.columns, 256), sums.rows), dim3(256), 0,
                context.stream, product, sums, applies_scales);
}

class Multiplication {
 public:
  Multiplication(const Fp8Product& product, Way way, const Context& context)
      : product_(product), plan_(product.args, way), context_(context), workspace_(static_cast<uint8_t*>(context.workspace)) {}

  bool is_supported() const {
    return plan_.for_each_part([&](int64_t m, int64_t rows, int64_t n, int64_t columns) {
      return supports_fp8_gemm(fp8_args(m, rows, n, columns), context_) ? Status::ok : Status::cublaslt_failed;
    }) == Status::ok;
  }

  Status run() const {
    int64_t prepared_n = -1;
    return plan_.for_each_part([&](int64_t m, int64_t rows, int64_t n, int64_t columns) {
      Status status = Status::ok;
      if (n != prepared_n) status = prepare(plan_.b, n, columns, at(plan_.b_matrix), at(plan_.b_scale), context_);
      prepared_n = n;
      if (status == Status::ok) status = prepare(plan_.a, m, rows, at(plan_.a_matrix), at(plan_.a_scale), context_);
      if (status == Status::ok) status = multiply(m, rows, n, columns);
      if (status != Status::ok) return status;
      return finish(product_, {sums(), plan_.b.padded(columns), m, rows, n, columns}, context_);
    });
  }

 private:
  uint8_t* at(int64_t offset) const { return workspace_ + offset; }
  float* sums() const { return reinterpret_cast<float*>(at(plan_.sums)); }

  Fp8GemmArgs fp8_args(int64_t m, int64_t rows, int64_t n, int64_t columns) const {
    const Prepared a = place(plan_.a, m, at(plan_.a_matrix), at(plan_.a_scale)),
                   b = place(plan_.b, n, at(plan_.b_matrix), at(plan_.b_scale));
    return {{plan_.a.w.type, a.data, a.row_stride, plan_.a.scaling, a.scale},
            {plan_.b.w.type, b.data, b.row_stride, plan_.b.scaling, b.scale},
            sums(),
            plan_.a.padded(rows),
            plan_.b.padded(columns),
            plan_.b.columns,
            workspace_};
  }

  Status multiply(int64_t m, int64_t rows, int64_t n, int64_t columns) const {
    if (plan_.a.way == Way::fp8) return fp8_gemm(fp8_args(m, rows, n, columns), context_);
    GemmArgs args{};
    args.type = plan_.a.way == Way::bf16 ? FloatType::bf16 : FloatType::f32;
    args.x = at(plan_.a_matrix);
    args.w = at(plan_.b_matrix);
    args.x_row_stride = args.w_row_stride = args.K = plan_.b.w.K;
    args.y = sums();
    args.y_row_stride = args.N = columns;
    args.M = rows;
    args.workspace = workspace_;
    args.y_is_f32 = true;
    return gemm(args, context_);
  }

  const Fp8Product& product_;
  const Plan plan_;
  const Context& context_;
  uint8_t* const workspace_;
};

Way way_without_fp8(const Fp8ScaledMmArgs& args) { return has_scales_along_k(args) ? Way::f32 : Way::bf16; }

bool is_empty(const Fp8ScaledMmArgs& args) { return args.a.N == 0 || args.b.N == 0 || args.b.K == 0; }

}  // namespace

bool multiplies_numbers(const Fp8ScaledMmArgs& args, const Device& device) {
  return !has_scales_along_k(args) || may_multiply_fp8(args, device);
}

int64_t fp8_product_workspace_bytes(const Fp8Product& product, const Device& device) {
  const Fp8ScaledMmArgs& args = product.args;
  if (is_empty(args)) return 0;
  const int64_t bytes = Plan(args, way_without_fp8(args)).total;
  return may_multiply_fp8(args, device) ? std::max(bytes, Plan(args, Way::fp8).total) : bytes;
}

Status fp8_product(const Fp8Product& product, const Context& context) {
  const Fp8ScaledMmArgs& args = product.args;
  const Status status = check_row_length(args.b.K);
  if (status != Status::ok) return status;
  if (is_empty(args)) {
    return finish(product, {nullptr, 0, 0, args.a.N, 0, args.b.N}, context);
  }
  if (may_multiply_fp8(args, context.device)) {
    const Multiplication in_fp8(product, Way::fp8, context);
    if (in_fp8.is_supported()) return in_fp8.run();
  }
  return Multiplication(product, way_without_fp8(args), context).run();
}

}  // namespace torchao_ops::cuda
