#include "tests/cpp/cuda_gemm/fake_cublaslt.h"

#include <dlfcn.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "csrc/spec/float8.h"
#include "csrc/spec/float_types.h"

namespace torchao_ops::test {
namespace {

FakeCublasLt state;
std::mutex mutex;

bool complain_unless(bool condition, const char* complaint) {
  if (!condition) state.complaints.emplace_back(complaint);
  return condition;
}

// The real library of the same version, if TORCHAO_OPS_REAL_CUBLASLT names it: its descriptors work without a device, and are given what
// ours are given.
template <class Function>
Function real(const char* name) {
  static void* const library = [] {
    const char* path = std::getenv("TORCHAO_OPS_REAL_CUBLASLT");
    void* opened = path == nullptr ? nullptr : dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (path != nullptr) complain_unless(opened != nullptr, "TORCHAO_OPS_REAL_CUBLASLT cannot be opened");
    return opened;
  }();
  return library == nullptr ? nullptr : reinterpret_cast<Function>(dlsym(library, name));
}
#define REAL(name) real<decltype(&name)>(#name)

void check_real(cublasStatus_t status) {
  complain_unless(status == CUBLAS_STATUS_SUCCESS, "the real library rejects a descriptor or an attribute");
}

bool succeeds(const char* call) { return state.failing_call != call; }
constexpr cublasStatus_t failure = CUBLAS_STATUS_NOT_SUPPORTED;

// An attribute's size by its type in cublasLt.h.
size_t attribute_size(cublasLtMatmulDescAttributes_t attribute) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
    case CUBLASLT_MATMUL_DESC_TRANSB: return sizeof(int32_t);
    case CUBLASLT_MATMUL_DESC_A_SCALE_MODE:
    case CUBLASLT_MATMUL_DESC_B_SCALE_MODE: return sizeof(int32_t);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return sizeof(uint32_t);
    case CUBLASLT_MATMUL_DESC_FAST_ACCUM: return sizeof(int8_t);
    case CUBLASLT_MATMUL_DESC_A_SCALE_POINTER:
    case CUBLASLT_MATMUL_DESC_B_SCALE_POINTER:
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return sizeof(const void*);
    default: return 0;
  }
}

size_t attribute_size(cublasLtMatmulPreferenceAttributes_t attribute) {
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES: return sizeof(uint64_t);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES: return sizeof(uint32_t);
    default: return 0;
  }
}

template <class Attribute>
cublasStatus_t set_attribute(std::map<int, uint64_t>* attributes, Attribute attribute, const void* value, size_t bytes) {
  if (!complain_unless(bytes != 0 && bytes == attribute_size(attribute), "an attribute has another size, or is not known")) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  uint64_t widened = 0;
  std::memcpy(&widened, value, bytes);  // little-endian
  (*attributes)[attribute] = widened;
  return CUBLAS_STATUS_SUCCESS;
}

struct Operation {
  cublasComputeType_t compute_type;
  cudaDataType_t scale_type;
  // With their defaults.
  std::map<int, uint64_t> attributes{{CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_N},
                                     {CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N},
                                     {CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_DEFAULT},
                                     {CUBLASLT_MATMUL_DESC_BIAS_POINTER, 0}};
  cublasLtMatmulDesc_t real = nullptr;
};

struct Layout {
  cudaDataType type;
  uint64_t rows, columns;
  int64_t leading_dimension;
  cublasLtMatrixLayout_t real = nullptr;
};

struct Preference {
  std::map<int, uint64_t> attributes;
  cublasLtMatmulPreference_t real = nullptr;
};

Operation* operation_of(cublasLtMatmulDesc_t opaque) { return reinterpret_cast<Operation*>(opaque); }
Layout* layout_of(cublasLtMatrixLayout_t opaque) { return reinterpret_cast<Layout*>(opaque); }
Preference* preference_of(cublasLtMatmulPreference_t opaque) { return reinterpret_cast<Preference*>(opaque); }

template <class Opaque, class Fake>
cublasStatus_t create(const char* call, std::unique_ptr<Fake> fake, Opaque* opaque) {
  if (!succeeds(call)) return failure;
  *opaque = reinterpret_cast<Opaque>(fake.release());
  ++state.live_descriptors;
  return CUBLAS_STATUS_SUCCESS;
}

// What a heuristic chose, and for what: cublasLtMatmul must be given the same, but for where it lies.
struct Choice {
  cublasLtHandle_t handle;
  cublasComputeType_t compute_type;
  std::vector<std::array<int64_t, 4>> layouts;
  std::map<int, uint64_t> attributes, preferences;
};

std::vector<std::array<int64_t, 4>> layouts_of(std::initializer_list<cublasLtMatrixLayout_t> layouts) {
  std::vector<std::array<int64_t, 4>> all;
  for (const cublasLtMatrixLayout_t layout : layouts) {
    const Layout& l = *layout_of(layout);
    all.push_back({l.type, static_cast<int64_t>(l.rows), static_cast<int64_t>(l.columns), l.leading_dimension});
  }
  return all;
}

// Pointers as whether they are there.
std::map<int, uint64_t> attributes_of(const Operation& operation) {
  std::map<int, uint64_t> attributes = operation.attributes;
  for (const int pointer :
       {CUBLASLT_MATMUL_DESC_BIAS_POINTER, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER}) {
    if (attributes.count(pointer) == 1) attributes[pointer] = attributes[pointer] != 0;
  }
  return attributes;
}
std::vector<Choice> choices;
constexpr uint64_t algorithm_mark = 0xa160a160a160a160u;

bool is_fp8(cudaDataType type) { return type == CUDA_R_8F_E4M3 || type == CUDA_R_8F_E5M2; }

FloatType float_type(cudaDataType type) {
  complain_unless(type == CUDA_R_32F || type == CUDA_R_16F || type == CUDA_R_16BF, "a matrix has another type");
  return type == CUDA_R_32F ? FloatType::f32 : type == CUDA_R_16F ? FloatType::f16 : FloatType::bf16;
}

// Element [row, column] of op(matrix).
float element(const void* matrix, const Layout& layout, bool transposed, uint64_t row, uint64_t column) {
  if (transposed) std::swap(row, column);
  const int64_t at = static_cast<int64_t>(column) * layout.leading_dimension + static_cast<int64_t>(row);
  if (layout.type == CUDA_R_8I) return static_cast<const int8_t*>(matrix)[at];
  if (is_fp8(layout.type)) {
    return load_float8(matrix, layout.type == CUDA_R_8F_E4M3 ? Float8Type::e4m3fn : Float8Type::e5m2, at);
  }
  return load_float(matrix, float_type(layout.type), at);
}

void store_result(float sum, void* matrix, const Layout& layout, uint64_t row, uint64_t column) {
  const int64_t at = static_cast<int64_t>(column) * layout.leading_dimension + static_cast<int64_t>(row);
  if (layout.type == CUDA_R_32I) {
    static_cast<int32_t*>(matrix)[at] = static_cast<int32_t>(sum);  // tests have sums that fp32 holds
  } else {
    store_float(sum, matrix, float_type(layout.type), at);
  }
}

bool is_aligned(const void* pointer, uint64_t bytes) { return bytes != 0 && reinterpret_cast<uintptr_t>(pointer) % bytes == 0; }

// The scales of an operand of fp8, as the cuBLAS guide lays them out ("Scaling factors layouts"): for element k of an outer row.
struct Scales {
  uint64_t mode;
  const float* data;
  uint64_t rows, inner;

  static Scales of(const Operation& op, cublasLtMatmulDescAttributes_t mode, cublasLtMatmulDescAttributes_t pointer,
                   uint64_t rows, uint64_t inner) {
    const auto find = [&](int attribute) {
      const auto found = op.attributes.find(attribute);
      return found == op.attributes.end() ? uint64_t{0} : found->second;
    };
    return {find(mode), reinterpret_cast<const float*>(find(pointer)), rows, inner};
  }
  float at(uint64_t row, uint64_t k) const {
    if (data == nullptr) return 1;
    const uint64_t stride = (inner + 511) / 512 * 4;  // a multiple of 4 of ceil(inner / 128)
    return mode == CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F       ? data[row + rows * (k / 128)]
           : mode == CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F ? data[k / 128 + stride * (row / 128)]
                                                                 : *data;
  }
};

// Its greatest power of two up to 256: with a smaller one, cuBLASLt would choose a slower algorithm than it could.
bool is_exact_alignment(const void* pointer, uint64_t bytes) {
  return is_aligned(pointer, bytes) && (bytes == 256 || !is_aligned(pointer, 2 * bytes));
}

}  // namespace
}  // namespace torchao_ops::test

using namespace torchao_ops;
using namespace torchao_ops::test;

extern "C" {

FakeCublasLt* fake_cublaslt() { return &state; }

const char* cublasLtGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_NOT_SUPPORTED ? "the requested functionality is not supported" : "another failure";
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // so that threads meet here, if they may
  const std::lock_guard<std::mutex> lock(mutex);
  if (!succeeds("cublasLtCreate")) return failure;
  *handle = reinterpret_cast<cublasLtHandle_t>(state.contexts.size() + 1);
  state.contexts.push_back(*handle);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* created, cublasComputeType_t compute_type,
                                        cudaDataType_t scale_type) {
  const std::lock_guard<std::mutex> lock(mutex);
  auto operation = std::make_unique<Operation>();
  operation->compute_type = compute_type;
  operation->scale_type = scale_type;
  if (const auto real_create = REAL(cublasLtMatmulDescCreate))
    check_real(real_create(&operation->real, compute_type, scale_type));
  return create("cublasLtMatmulDescCreate", std::move(operation), created);
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (!succeeds("cublasLtMatmulDescSetAttribute")) return failure;
  const bool is_mode = attribute == CUBLASLT_MATMUL_DESC_A_SCALE_MODE || attribute == CUBLASLT_MATMUL_DESC_B_SCALE_MODE;
  if (state.is_older && is_mode) return CUBLAS_STATUS_INVALID_VALUE;
  if (const auto real_set = REAL(cublasLtMatmulDescSetAttribute)) {
    check_real(real_set(operation_of(operation)->real, attribute, value, bytes));
  }
  return set_attribute(&operation_of(operation)->attributes, attribute, value, bytes);
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (operation_of(operation)->real != nullptr) REAL(cublasLtMatmulDescDestroy)(operation_of(operation)->real);
  delete operation_of(operation);
  --state.live_descriptors;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* created, cudaDataType type, uint64_t rows, uint64_t columns,
                                          int64_t leading_dimension) {
  const std::lock_guard<std::mutex> lock(mutex);
  auto layout = std::make_unique<Layout>(Layout{type, rows, columns, leading_dimension});
  if (const auto real_create = REAL(cublasLtMatrixLayoutCreate)) {
    check_real(real_create(&layout->real, type, rows, columns, leading_dimension));
  }
  return create("cublasLtMatrixLayoutCreate", std::move(layout), created);
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (layout_of(layout)->real != nullptr) REAL(cublasLtMatrixLayoutDestroy)(layout_of(layout)->real);
  delete layout_of(layout);
  --state.live_descriptors;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* created) {
  const std::lock_guard<std::mutex> lock(mutex);
  auto preference = std::make_unique<Preference>();
  if (const auto real_create = REAL(cublasLtMatmulPreferenceCreate)) check_real(real_create(&preference->real));
  return create("cublasLtMatmulPreferenceCreate", std::move(preference), created);
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (preference_of(preference)->real != nullptr) REAL(cublasLtMatmulPreferenceDestroy)(preference_of(preference)->real);
  delete preference_of(preference);
  --state.live_descriptors;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    size_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (!succeeds("cublasLtMatmulPreferenceSetAttribute")) return failure;
  if (const auto real_set = REAL(cublasLtMatmulPreferenceSetAttribute)) {
    check_real(real_set(preference_of(preference)->real, attribute, value, bytes));
  }
  return set_attribute(&preference_of(preference)->attributes, attribute, value, bytes);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t results[], int* returned) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (!succeeds("cublasLtMatmulAlgoGetHeuristic")) return failure;
  complain_unless(handle != nullptr, "there is no context");
  if (!complain_unless(requested >= 1, "no algorithm is asked for")) return CUBLAS_STATUS_INVALID_VALUE;
  ++state.questions;
  *returned = state.algorithms;
  if (state.algorithms == 0) return CUBLAS_STATUS_SUCCESS;
  results[0] = {};
  results[0].algo.data[0] = algorithm_mark;
  results[0].algo.data[7] = choices.size();
  results[0].state = state.algorithm_state;
  choices.push_back({handle, operation_of(operation)->compute_type, layouts_of({a, b, c, d}),
                     attributes_of(*operation_of(operation)), preference_of(preference)->attributes});
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, const void* alpha, const void* A,
                              cublasLtMatrixLayout_t a, const void* B, cublasLtMatrixLayout_t b, const void* beta, const void* C,
                              cublasLtMatrixLayout_t c, void* D, cublasLtMatrixLayout_t d, const cublasLtMatmulAlgo_t* algorithm,
                              void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (!succeeds("cublasLtMatmul")) return failure;
  const Operation& op = *operation_of(operation);
  if (!complain_unless(algorithm != nullptr && algorithm->data[0] == algorithm_mark && algorithm->data[7] < choices.size(),
                       "the algorithm is not the heuristic's")) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const Choice& choice = choices[algorithm->data[7]];
  complain_unless(choice.handle == handle && choice.compute_type == op.compute_type &&
                      choice.layouts == layouts_of({a, b, c, d}) && choice.attributes == attributes_of(op),
                  "the algorithm was chosen for another problem");
  state.products.push_back(
      {handle, op.compute_type, op.scale_type, op.attributes, choice.preferences, workspace, workspace_bytes, stream});

  const auto preference = [&](cublasLtMatmulPreferenceAttributes_t attribute) {
    const auto found = choice.preferences.find(attribute);
    return found == choice.preferences.end() ? uint64_t{0} : found->second;
  };
  complain_unless(preference(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) == workspace_bytes, "another workspace was promised");
  complain_unless(is_aligned(workspace, 256), "the workspace is not aligned");
  complain_unless(is_exact_alignment(A, preference(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES)), "A has another alignment");
  complain_unless(is_exact_alignment(B, preference(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES)), "B has another alignment");
  complain_unless(is_exact_alignment(C, preference(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES)), "C has another alignment");
  complain_unless(is_exact_alignment(D, preference(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES)), "D has another alignment");

  const bool transpose_a = op.attributes.at(CUBLASLT_MATMUL_DESC_TRANSA) == CUBLAS_OP_T;
  const bool transpose_b = op.attributes.at(CUBLASLT_MATMUL_DESC_TRANSB) == CUBLAS_OP_T;
  const Layout &la = *layout_of(a), &lb = *layout_of(b), &lc = *layout_of(c), &ld = *layout_of(d);
  const uint64_t rows = transpose_a ? la.columns : la.rows, inner = transpose_a ? la.rows : la.columns;
  const uint64_t columns = transpose_b ? lb.rows : lb.columns;
  complain_unless((transpose_b ? lb.columns : lb.rows) == inner && ld.rows == rows && ld.columns == columns,
                  "the matrices' sizes do not match");
  for (const Layout* layout : {&la, &lb, &lc, &ld}) {
    complain_unless(layout->leading_dimension >= static_cast<int64_t>(layout->rows), "columns overlap");
    const bool is_operand = layout == &la || layout == &lb;
    const bool suits = !is_operand             ? layout->type == ld.type
                       : ld.type == CUDA_R_32I ? layout->type == CUDA_R_8I
                       : ld.type == CUDA_R_32F ? layout->type == CUDA_R_32F || layout->type == CUDA_R_16F ||
                                                     layout->type == CUDA_R_16BF || is_fp8(layout->type)
                                               : layout->type == ld.type;
    complain_unless(suits && is_fp8(la.type) == is_fp8(lb.type) && (is_fp8(la.type) || la.type == lb.type),
                    "the matrices' types do not go together");
  }
  // cuBLAS guide, cublasLtMatmul, "IMMA kernels", regular order.
  const auto are_multiples_of_4 = [&] {
    for (const Layout* layout : {&la, &lb, &lc, &ld}) {
      if (layout->leading_dimension % 4 != 0) return false;
    }
    return is_aligned(A, 4) && is_aligned(B, 4) && is_aligned(D, 4) && rows % 4 == 0 && inner % 4 == 0;
  };
  complain_unless(ld.type != CUDA_R_32I || (transpose_a && !transpose_b && are_multiples_of_4()), "int8 operands do not suit");
  // The same, "To use tensor- or block-scaled FP8 kernels" and "128-element 1D and 128x128 2D Block Scaling For FP8 Data Types".
  const Scales scales_a = Scales::of(op, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, rows, inner);
  const Scales scales_b = Scales::of(op, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, columns, inner);
  if (is_fp8(la.type)) {
    complain_unless(transpose_a && !transpose_b && op.compute_type == CUBLAS_COMPUTE_32F, "fp8 operands are turned");
    complain_unless(la.type != CUDA_R_8F_E5M2 || lb.type != CUDA_R_8F_E5M2, "both operands are e5m2");
    complain_unless(is_aligned(A, 16) && is_aligned(B, 16) && is_aligned(D, 16) && la.leading_dimension % 16 == 0 &&
                        lb.leading_dimension % 16 == 0 && inner % 16 == 0 && rows % 16 == 0 && ld.leading_dimension % 4 == 0,
                    "fp8 operands are not aligned");
    complain_unless(
        op.attributes.count(CUBLASLT_MATMUL_DESC_FAST_ACCUM) == 1 && op.attributes.at(CUBLASLT_MATMUL_DESC_FAST_ACCUM) == 0,
        "sums are accumulated fast");
    const auto is_block = [](uint64_t mode) { return mode == CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F; };
    const auto is_along_k = [&](uint64_t mode) { return is_block(mode) || mode == CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F; };
    if (scales_a.data != nullptr || scales_b.data != nullptr) {
      complain_unless(
          is_along_k(scales_a.mode) && is_along_k(scales_b.mode) && !(is_block(scales_a.mode) && is_block(scales_b.mode)),
          "these scale modes do not go together");
      complain_unless(is_aligned(scales_a.data, 16) && is_aligned(scales_b.data, 16) && rows % 4 == 0 && columns % 4 == 0,
                      "scales are not aligned");
    }
  }
  complain_unless(C == D && c == d, "C is not D, though nothing is to be added");
  const bool integer = ld.type == CUDA_R_32I;
  complain_unless(op.scale_type == (integer ? CUDA_R_32I : CUDA_R_32F), "alpha and beta have another type");
  uint32_t zero = 0;
  std::memcpy(&zero, beta, sizeof(zero));
  complain_unless(zero == 0, "C would be read");
  const float factor = integer ? static_cast<float>(*static_cast<const int32_t*>(alpha)) : *static_cast<const float*>(alpha);
  if (!state.complaints.empty()) return CUBLAS_STATUS_INVALID_VALUE;

  const bool with_bias = op.attributes.at(CUBLASLT_MATMUL_DESC_EPILOGUE) == CUBLASLT_EPILOGUE_BIAS;
  const void* bias = reinterpret_cast<const void*>(op.attributes.at(CUBLASLT_MATMUL_DESC_BIAS_POINTER));
  for (uint64_t column = 0; column < columns; ++column) {
    for (uint64_t row = 0; row < rows; ++row) {
      float sum = 0;
      for (uint64_t k = 0; k < inner; ++k) {
        sum += element(A, la, transpose_a, row, k) * scales_a.at(row, k) * element(B, lb, transpose_b, k, column) *
               scales_b.at(column, k);
      }
      sum *= factor;
      if (with_bias) sum += load_float(bias, float_type(ld.type), static_cast<int64_t>(row));
      store_result(sum, D, ld, row, column);
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
