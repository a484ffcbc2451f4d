#include "tests/cpp/cuda_cusparselt/fake_cusparselt.h"

#include <cstring>

#include "csrc/spec/sparse24.h"

namespace torchao_ops::test {
namespace {

FakeCusparseLt state;
constexpr cusparseStatus_t failure = CUSPARSE_STATUS_NOT_SUPPORTED;

void complain_unless(bool condition, const char* complaint) {
  if (!condition) state.complaints.emplace_back(complaint);
}
bool succeeds(const char* call) { return state.failing_call != call; }

// What lies in an opaque struct. `self`: where it was initialized, for the library may point there.
struct Matrix {
  const void* self;
  int64_t rows, columns, leading_dimension;
  cudaDataType type;
  cusparseOrder_t order;
  bool is_sparse;
};
struct Product {
  const void* self;
  const Matrix *a, *b, *c;
};
struct Algorithm {
  const void* self;
  const Product* product;
};
struct Plan {
  const void* self;
  const Algorithm* algorithm;
  Product product;
  bool is_searched;
};

template <class State, class Opaque>
State* inside(Opaque* opaque) {
  static_assert(sizeof(State) <= sizeof(Opaque), "it has room");
  State* found = reinterpret_cast<State*>(opaque->data);
  complain_unless(found->self == opaque, "a struct that is not initialized, destroyed, or was moved");
  return found;
}
template <class State, class Opaque>
void put(Opaque* opaque, State value) {
  value.self = opaque;
  std::memcpy(opaque->data, &value, sizeof(value));
  ++state.live_objects;
}
template <class State, class Opaque>
cusparseStatus_t destroy(const Opaque* opaque) {
  auto* found = inside<State>(const_cast<Opaque*>(opaque));
  found->self = nullptr;
  --state.live_objects;
  return CUSPARSE_STATUS_SUCCESS;
}
template <class Opaque>
const Matrix* matrix(const Opaque* opaque) {
  return inside<Matrix>(const_cast<Opaque*>(opaque));
}

int64_t bytes_of(cudaDataType type) {
  return type == CUDA_R_8I || type == CUDA_R_8F_E4M3 ? 1 : type == CUDA_R_16F || type == CUDA_R_16BF ? 2 : 4;
}
double load(const void* values, cudaDataType type, int64_t i) {
  using sparse24::ValueType;
  switch (type) {
    case CUDA_R_8I: return sparse24::load_value(values, ValueType::int8, i);
    case CUDA_R_8F_E4M3: return sparse24::load_value(values, ValueType::e4m3fn, i);
    case CUDA_R_16F: return sparse24::load_value(values, ValueType::f16, i);
    case CUDA_R_16BF: return sparse24::load_value(values, ValueType::bf16, i);
    case CUDA_R_32I: return static_cast<const int32_t*>(values)[i];
    default: return static_cast<const float*>(values)[i];
  }
}
void store(double value, void* values, cudaDataType type, int64_t i) {
  if (type == CUDA_R_32I) {
    static_cast<int32_t*>(values)[i] = static_cast<int32_t>(value);
  } else {
    const FloatType float_type = type == CUDA_R_16F ? FloatType::f16 : type == CUDA_R_16BF ? FloatType::bf16 : FloatType::f32;
    store_float(static_cast<float>(value), values, float_type, i);
  }
}
bool is_aligned(const void* pointer, uintptr_t bytes) { return reinterpret_cast<uintptr_t>(pointer) % bytes == 0; }

bool is_known_handle(const cusparseLtHandle_t* handle) { return handle->data[0] == 0x5a; }

cusparseStatus_t init_matrix(const cusparseLtHandle_t* handle, cusparseLtMatDescriptor_t* descriptor, int64_t rows,
                             int64_t columns, int64_t leading_dimension, uint32_t alignment, cudaDataType type,
                             cusparseOrder_t order, bool is_sparse) {
  const int64_t in_16_bytes = 16 / bytes_of(type), multiple = is_sparse ? 2 * in_16_bytes : in_16_bytes;
  const int64_t row = order == CUSPARSE_ORDER_ROW ? columns : rows;
  complain_unless(is_known_handle(handle), "there is no handle");
  complain_unless(rows > 0 && columns > 0 && rows % multiple == 0 && columns % multiple == 0, "sizes are no multiples");
  complain_unless(leading_dimension >= row && leading_dimension % in_16_bytes == 0, "rows overlap");
  complain_unless(alignment == 16, "another alignment");
  put(descriptor, Matrix{nullptr, rows, columns, leading_dimension, type, order, is_sparse});
  return CUSPARSE_STATUS_SUCCESS;
}

int64_t place(const Matrix& m, int64_t row, int64_t column) {
  return m.order == CUSPARSE_ORDER_ROW ? row * m.leading_dimension + column : column * m.leading_dimension + row;
}

// y = alpha * a * b^T + beta * y.
void multiply(const Plan& plan, float alpha, const void* packed, const void* b_values, float beta, void* y) {
  const Matrix &a = *plan.product.a, &b = *plan.product.b, &c = *plan.product.c;
  for (int64_t i = 0; i < c.rows; ++i) {
    for (int64_t j = 0; j < c.columns; ++j) {
      double sum = 0;
      for (int64_t k = 0; k < a.columns; ++k) {
        uint8_t element[2];
        for (int64_t byte = 0; byte < bytes_of(a.type); ++byte) {
          element[byte] = static_cast<uint8_t>(~static_cast<const uint8_t*>(packed)[place(a, i, k) * bytes_of(a.type) + byte]);
        }
        sum += load(element, a.type, 0) * load(b_values, b.type, place(b, j, k));
      }
      sum *= alpha;
      if (beta != 0) sum += beta * load(y, c.type, place(c, i, j));
      store(sum, y, c.type, place(c, i, j));
    }
  }
}

cusparseStatus_t run(const char* call, const cusparseLtHandle_t* handle, Plan* plan, const void* alpha, const void* A,
                     const void* B, const void* beta, const void* C, void* D, void* workspace, const cudaStream_t* streams,
                     int32_t stream_count) {
  if (!succeeds(call)) return failure;
  complain_unless(is_known_handle(handle), "there is no handle");
  for (const void* operand : {A, B, C, const_cast<const void*>(D)})
    complain_unless(is_aligned(operand, 16), "an operand is not aligned");
  complain_unless(C == D, "C is not D");
  complain_unless(stream_count == 1, "there is not one stream");
  state.stream = streams[0];
  state.workspace = workspace;
  multiply(*plan, *static_cast<const float*>(alpha), A, B, *static_cast<const float*>(beta), D);
  return CUSPARSE_STATUS_SUCCESS;
}

}  // namespace
}  // namespace torchao_ops::test

using namespace torchao_ops::test;

extern "C" {

FakeCusparseLt* fake_cusparselt() { return &state; }

cusparseStatus_t cusparseLtGetProperty(libraryPropertyType property, int* value) {
  *value = property == MAJOR_VERSION ? 0 : property == MINOR_VERSION ? state.minor_version : 0;
  return CUSPARSE_STATUS_SUCCESS;
}
const char* cusparseLtGetErrorString(cusparseStatus_t) { return "not supported, says the fake"; }

cusparseStatus_t cusparseLtInit(cusparseLtHandle_t* handle) {
  if (!succeeds("cusparseLtInit")) return failure;
  handle->data[0] = 0x5a;
  ++state.handles;
  return CUSPARSE_STATUS_SUCCESS;
}

cusparseStatus_t cusparseLtDenseDescriptorInit(const cusparseLtHandle_t* handle, cusparseLtMatDescriptor_t* descriptor,
                                               int64_t rows, int64_t columns, int64_t leading_dimension, uint32_t alignment,
                                               cudaDataType type, cusparseOrder_t order) {
  if (!succeeds("cusparseLtDenseDescriptorInit")) return failure;
  return init_matrix(handle, descriptor, rows, columns, leading_dimension, alignment, type, order, false);
}
cusparseStatus_t cusparseLtStructuredDescriptorInit(const cusparseLtHandle_t* handle, cusparseLtMatDescriptor_t* descriptor,
                                                    int64_t rows, int64_t columns, int64_t leading_dimension, uint32_t alignment,
                                                    cudaDataType type, cusparseOrder_t order, cusparseLtSparsity_t sparsity) {
  if (!succeeds("cusparseLtStructuredDescriptorInit")) return failure;
  complain_unless(sparsity == CUSPARSELT_SPARSITY_50_PERCENT, "another sparsity");
  return init_matrix(handle, descriptor, rows, columns, leading_dimension, alignment, type, order, true);
}
cusparseStatus_t cusparseLtMatDescriptorDestroy(const cusparseLtMatDescriptor_t* descriptor) {
  return destroy<Matrix>(descriptor);
}

cusparseStatus_t cusparseLtMatmulDescriptorInit(const cusparseLtHandle_t*, cusparseLtMatmulDescriptor_t* descriptor,
                                                cusparseOperation_t op_a, cusparseOperation_t op_b,
                                                const cusparseLtMatDescriptor_t* a, const cusparseLtMatDescriptor_t* b,
                                                const cusparseLtMatDescriptor_t* c, const cusparseLtMatDescriptor_t* d,
                                                cusparseComputeType compute_type) {
  if (!succeeds("cusparseLtMatmulDescriptorInit")) return failure;
  const Matrix &ma = *matrix(a), &mb = *matrix(b), &mc = *matrix(c);
  complain_unless(op_a == CUSPARSE_OPERATION_NON_TRANSPOSE && op_b == CUSPARSE_OPERATION_TRANSPOSE, "other operations");
  complain_unless(c == d, "C is not D");
  complain_unless(compute_type == (ma.type == CUDA_R_8I ? CUSPARSE_COMPUTE_32I : CUSPARSE_COMPUTE_32F), "sums of another type");
  complain_unless(ma.is_sparse && !mb.is_sparse && !mc.is_sparse, "the first operand is to be the sparse one");
  complain_unless(ma.columns == mb.columns && ma.rows == mc.rows && mb.rows == mc.columns, "sizes do not match");
  const cudaDataType result = ma.type == CUDA_R_8I ? CUDA_R_32I : ma.type == CUDA_R_8F_E4M3 ? CUDA_R_32F : ma.type;
  complain_unless(bytes_of(ma.type) <= 2 && ma.type == mb.type && mc.type == result, "other types");
  put(descriptor, Product{nullptr, &ma, &mb, &mc});
  --state.live_objects;  // has no function that destroys it
  return CUSPARSE_STATUS_SUCCESS;
}
cusparseStatus_t cusparseLtMatmulAlgSelectionInit(const cusparseLtHandle_t*, cusparseLtMatmulAlgSelection_t* selection,
                                                  const cusparseLtMatmulDescriptor_t* descriptor,
                                                  cusparseLtMatmulAlg_t algorithm) {
  if (!succeeds("cusparseLtMatmulAlgSelectionInit")) return failure;
  complain_unless(algorithm == CUSPARSELT_MATMUL_ALG_DEFAULT, "another algorithm");
  put(selection, Algorithm{nullptr, inside<Product>(const_cast<cusparseLtMatmulDescriptor_t*>(descriptor))});
  return CUSPARSE_STATUS_SUCCESS;
}
cusparseStatus_t cusparseLtMatmulAlgSelectionDestroy(const cusparseLtMatmulAlgSelection_t* selection) {
  return destroy<Algorithm>(selection);
}

cusparseStatus_t cusparseLtMatmulPlanInit(const cusparseLtHandle_t*, cusparseLtMatmulPlan_t* plan,
                                          const cusparseLtMatmulDescriptor_t* descriptor,
                                          const cusparseLtMatmulAlgSelection_t* selection) {
  if (!succeeds("cusparseLtMatmulPlanInit")) return failure;
  const auto* product = inside<Product>(const_cast<cusparseLtMatmulDescriptor_t*>(descriptor));
  const auto* algorithm = inside<Algorithm>(const_cast<cusparseLtMatmulAlgSelection_t*>(selection));
  complain_unless(algorithm->product == product, "the algorithm is that of another product");
  ++state.plans;
  put(plan, Plan{nullptr, algorithm, *product, false});
  return CUSPARSE_STATUS_SUCCESS;
}
cusparseStatus_t cusparseLtMatmulPlanDestroy(const cusparseLtMatmulPlan_t* plan) {
  complain_unless(inside<Plan>(const_cast<cusparseLtMatmulPlan_t*>(plan))->algorithm->self != nullptr,
                  "the plan is destroyed last");
  return destroy<Plan>(plan);
}
cusparseStatus_t cusparseLtMatmulGetWorkspace(const cusparseLtHandle_t*, const cusparseLtMatmulPlan_t* plan, size_t* bytes) {
  if (!succeeds("cusparseLtMatmulGetWorkspace")) return failure;
  const bool is_searched = inside<Plan>(const_cast<cusparseLtMatmulPlan_t*>(plan))->is_searched;
  *bytes = is_searched ? state.workspace_bytes_after_search : state.workspace_bytes;
  return CUSPARSE_STATUS_SUCCESS;
}

cusparseStatus_t cusparseLtMatmulSearch(const cusparseLtHandle_t* handle, cusparseLtMatmulPlan_t* plan, const void* alpha,
                                        const void* A, const void* B, const void* beta, const void* C, void* D, void* workspace,
                                        cudaStream_t* streams, int32_t stream_count) {
  Plan* found = inside<Plan>(plan);
  complain_unless(!found->is_searched, "a second search");
  const cusparseStatus_t status =
      run("cusparseLtMatmulSearch", handle, found, alpha, A, B, beta, C, D, workspace, streams, stream_count);
  if (status != CUSPARSE_STATUS_SUCCESS) return status;
  found->is_searched = true;
  ++state.searches;
  const Matrix& d = *found->product.c;
  std::memset(D, 0x4b, static_cast<size_t>(d.rows * d.columns * bytes_of(d.type)));
  return status;
}
cusparseStatus_t cusparseLtMatmul(const cusparseLtHandle_t* handle, const cusparseLtMatmulPlan_t* plan, const void* alpha,
                                  const void* A, const void* B, const void* beta, const void* C, void* D, void* workspace,
                                  cudaStream_t* streams, int32_t stream_count) {
  ++state.products;
  return run("cusparseLtMatmul", handle, inside<Plan>(const_cast<cusparseLtMatmulPlan_t*>(plan)), alpha, A, B, beta, C, D,
             workspace, streams, stream_count);
}

cusparseStatus_t cusparseLtSpMMACompressedSize2(const cusparseLtHandle_t*, const cusparseLtMatDescriptor_t* descriptor,
                                                size_t* bytes, size_t* buffer_bytes) {
  if (!succeeds("cusparseLtSpMMACompressedSize2")) return failure;
  const Matrix& m = *matrix(descriptor);
  *bytes = fake_packed_bytes(m.rows, m.columns, bytes_of(m.type));
  *buffer_bytes = fake_scratch_bytes;
  return CUSPARSE_STATUS_SUCCESS;
}
// The layout: each byte inverted.
cusparseStatus_t cusparseLtSpMMACompress2(const cusparseLtHandle_t*, const cusparseLtMatDescriptor_t* descriptor, int is_first,
                                          cusparseOperation_t operation, const void* dense, void* packed, void* buffer,
                                          cudaStream_t stream) {
  if (!succeeds("cusparseLtSpMMACompress2")) return failure;
  const Matrix& m = *matrix(descriptor);
  complain_unless(m.is_sparse && is_first == 1 && operation == CUSPARSE_OPERATION_NON_TRANSPOSE, "not the sparse first operand");
  state.stream = stream;
  for (int64_t i = 0; i < m.rows * m.columns * bytes_of(m.type); ++i) {
    static_cast<uint8_t*>(packed)[i] = static_cast<uint8_t>(~static_cast<const uint8_t*>(dense)[i]);
  }
  std::memset(buffer, 1, fake_scratch_bytes);
  return CUSPARSE_STATUS_SUCCESS;
}

}  // extern "C"
