#include "csrc/cuda/gemm.h"

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <type_traits>
#include <utility>
#include <vector>

#include "csrc/cuda/runtime_library.h"

namespace torchao_ops::cuda {
namespace {

// The functions of cuBLASLt in use. Types and constants are the header's; they are the same in versions 12 and 13.
struct CublasLt {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtGetStatusString) get_status_string;
  decltype(&cublasLtMatmul) matmul;
  decltype(&cublasLtMatmulAlgoGetHeuristic) algo_get_heuristic;
  decltype(&cublasLtMatmulDescCreate) desc_create;
  decltype(&cublasLtMatmulDescDestroy) desc_destroy;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set_attribute;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set_attribute;
  decltype(&cublasLtMatrixLayoutCreate) layout_create;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
};

bool find_all(void* library, CublasLt* lt) {
  return find_function(library, "cublasLtCreate", &lt->create) &&
         find_function(library, "cublasLtGetStatusString", &lt->get_status_string) &&
         find_function(library, "cublasLtMatmul", &lt->matmul) &&
         find_function(library, "cublasLtMatmulAlgoGetHeuristic", &lt->algo_get_heuristic) &&
         find_function(library, "cublasLtMatmulDescCreate", &lt->desc_create) &&
         find_function(library, "cublasLtMatmulDescDestroy", &lt->desc_destroy) &&
         find_function(library, "cublasLtMatmulDescSetAttribute", &lt->desc_set_attribute) &&
         find_function(library, "cublasLtMatmulPreferenceCreate", &lt->preference_create) &&
         find_function(library, "cublasLtMatmulPreferenceDestroy", &lt->preference_destroy) &&
         find_function(library, "cublasLtMatmulPreferenceSetAttribute", &lt->preference_set_attribute) &&
         find_function(library, "cublasLtMatrixLayoutCreate", &lt->layout_create) &&
         find_function(library, "cublasLtMatrixLayoutDestroy", &lt->layout_destroy);
}

// The library that the process has loaded already (torch's, so that there is one of its 700 MB only), or else one that the system finds.
Status open_library(CublasLt* lt) {
  constexpr const char* names[] = {"libcublasLt.so.13", "libcublasLt.so.12"};
  for (const int loaded_only : {RTLD_NOLOAD, 0}) {
    for (const char* name : names) {
      void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL | loaded_only);
      if (library != nullptr && find_all(library, lt)) return Status::ok;  // and stays open
    }
  }
  dlerror();
  dlopen(names[0], RTLD_NOW | RTLD_LOCAL);
  const char* reason = dlerror();
  return set_last_error(Status::cublaslt_failed, "dlopen", reason != nullptr ? reason : "libcublasLt lacks a function");
}

// A failure is not remembered: torch's CUDA library may be loaded later.
Status get_library(const CublasLt** lt) {
  static std::mutex mutex;
  static CublasLt functions;
  static bool open = false;
  const std::lock_guard<std::mutex> lock(mutex);
  if (!open) {
    const Status status = open_library(&functions);
    if (status != Status::ok) return status;
    open = true;
  }
  *lt = &functions;
  return Status::ok;
}

Status check(const CublasLt& lt, cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return Status::ok;
  return set_last_error(Status::cublaslt_failed, call, lt.get_status_string(status));
}

// cuBLASLt's context of the current device: made at the first call, for all threads, and never destroyed, because at the end of the process
// the driver may be gone before us.
Status get_handle(const CublasLt& lt, int device, cublasLtHandle_t* handle) {
  static std::mutex mutex;
  static std::vector<std::pair<int, cublasLtHandle_t>> known;
  const std::lock_guard<std::mutex> lock(mutex);
  for (const auto& [other, its_handle] : known) {
    if (other == device) {
      *handle = its_handle;
      return Status::ok;
    }
  }
  const RelaxedCapture relaxed;
  const Status status = check(lt, lt.create(handle), "cublasLtCreate");
  if (status == Status::ok) known.emplace_back(device, *handle);
  return status;
}

// A descriptor, destroyed at the end.
template <class Pointer>
using Owned = std::unique_ptr<std::remove_pointer_t<Pointer>, cublasStatus_t (*)(Pointer)>;

cudaDataType_t data_type(FloatType type) {
  switch (type) {
    case FloatType::f32: return CUDA_R_32F;
    case FloatType::f16: return CUDA_R_16F;
    case FloatType::bf16: return CUDA_R_16BF;
  }
  return CUDA_R_32F;
}

// What cuBLASLt may assume of an address; it tells no more than 256 apart.
uint32_t alignment_bytes(const void* pointer) {
  const uintptr_t lowest_bit = reinterpret_cast<uintptr_t>(pointer) & (~reinterpret_cast<uintptr_t>(pointer) + 1);
  return lowest_bit == 0 || lowest_bit > 256 ? 256 : static_cast<uint32_t>(lowest_bit);
}

// The descriptors of one product. cuBLASLt's matrices are column-major, and a row-major [R, C] is a column-major [C, R]: so it is asked for
//   y^T [N, M] = op(w^T [K, N]) x^T [K, M], op = transpose, bias added to each column
// and where w is given transposed, op = nothing.
struct Problem {
  const CublasLt& lt;
  Owned<cublasLtMatmulDesc_t> product{nullptr, lt.desc_destroy};
  Owned<cublasLtMatrixLayout_t> w{nullptr, lt.layout_destroy}, x{nullptr, lt.layout_destroy}, y{nullptr, lt.layout_destroy};
  Owned<cublasLtMatmulPreference_t> preference{nullptr, lt.preference_destroy};
  Status status = Status::ok;  // the first failure; what follows one is skipped

  bool ok(cublasStatus_t result, const char* call) {
    status = check(lt, result, call);
    return status == Status::ok;
  }

  void create_product(cublasComputeType_t compute_type, cudaDataType_t scale_type) {
    if (status != Status::ok) return;
    cublasLtMatmulDesc_t created = nullptr;
    if (ok(lt.desc_create(&created, compute_type, scale_type), "cublasLtMatmulDescCreate")) product.reset(created);
  }

  template <class Value>
  void set(cublasLtMatmulDescAttributes_t attribute, Value value) {
    if (status == Status::ok) {
      ok(lt.desc_set_attribute(product.get(), attribute, &value, sizeof(value)), "cublasLtMatmulDescSetAttribute");
    }
  }

  // [rows, columns] in row-major order. A single row may have any stride, which cuBLASLt would take for too small.
  void create_layout(Owned<cublasLtMatrixLayout_t>* layout, cudaDataType_t type, int64_t rows, int64_t columns,
                     int64_t row_stride) {
    if (status != Status::ok) return;
    cublasLtMatrixLayout_t created = nullptr;
    if (ok(lt.layout_create(&created, type, static_cast<uint64_t>(columns), static_cast<uint64_t>(rows),
                            rows == 1 ? columns : row_stride),
           "cublasLtMatrixLayoutCreate")) {
      layout->reset(created);
    }
  }

  void create_preference() {
    if (status != Status::ok) return;
    cublasLtMatmulPreference_t created = nullptr;
    if (ok(lt.preference_create(&created), "cublasLtMatmulPreferenceCreate")) preference.reset(created);
  }

  template <class Value>
  void prefer(cublasLtMatmulPreferenceAttributes_t attribute, Value value) {
    if (status == Status::ok) {
      ok(lt.preference_set_attribute(preference.get(), attribute, &value, sizeof(value)), "cublasLtMatmulPreferenceSetAttribute");
    }
  }
};

// A product, whatever its types.
struct Product {
  cublasComputeType_t compute_type;
  cudaDataType_t scale_type, w_type, x_type, y_type;
  const void *w, *x;
  void* y;
  int64_t w_row_stride, x_row_stride, y_row_stride, M, N, K;
  bool w_is_transposed = false;
  const void* bias = nullptr;
  bool is_fp8 = false;
  int32_t w_scale_mode = 0, x_scale_mode = 0;  // CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F
  const float *w_scale = nullptr, *x_scale = nullptr;
};

// Types of values are those that the header gives for each attribute.
void describe(const Product& product, Problem* problem) {
  const int64_t M = product.M, N = product.N, K = product.K;
  problem->create_product(product.compute_type, product.scale_type);
  problem->set(CUBLASLT_MATMUL_DESC_TRANSA, product.w_is_transposed ? int32_t{CUBLAS_OP_N} : int32_t{CUBLAS_OP_T});
  problem->set(CUBLASLT_MATMUL_DESC_TRANSB, int32_t{CUBLAS_OP_N});
  const int64_t w_rows = product.w_is_transposed ? K : N, w_columns = product.w_is_transposed ? N : K;
  problem->create_layout(&problem->w, product.w_type, w_rows, w_columns, product.w_row_stride);
  problem->create_layout(&problem->x, product.x_type, M, K, product.x_row_stride);
  problem->create_layout(&problem->y, product.y_type, M, N, product.y_row_stride);
  if (product.bias != nullptr) {
    problem->set(CUBLASLT_MATMUL_DESC_EPILOGUE, uint32_t{CUBLASLT_EPILOGUE_BIAS});
    problem->set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, product.bias);
  }
  if (product.is_fp8) problem->set(CUBLASLT_MATMUL_DESC_FAST_ACCUM, int8_t{0});
  if (product.w_scale != nullptr) {  // a library that does not know the modes refuses them
    problem->set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, product.w_scale_mode);
    problem->set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, static_cast<const void*>(product.w_scale));
  }
  if (product.x_scale != nullptr) {
    problem->set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, product.x_scale_mode);
    problem->set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, static_cast<const void*>(product.x_scale));
  }

  problem->create_preference();
  problem->prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{gemm_workspace_bytes});
  // Parts of a sum are kept in fp32 (int32) and added in a fixed order. The other schemes round them to the type of y.
  problem->prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  problem->prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_bytes(product.w));
  problem->prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_bytes(product.x));
  problem->prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_bytes(product.y));
  problem->prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_bytes(product.y));
}

// Everything that cuBLASLt is told before it chooses an algorithm.
using Question = std::array<int64_t, 20>;

Question question_of(const Product& product, int device) {
  return {device,
          product.compute_type,
          product.scale_type,
          product.w_type,
          product.x_type,
          product.y_type,
          product.w_is_transposed,
          product.is_fp8,
          product.w_scale != nullptr ? product.w_scale_mode : -1,
          product.x_scale != nullptr ? product.x_scale_mode : -1,
          product.bias != nullptr ? alignment_bytes(product.bias) : 0,
          product.M,
          product.N,
          product.K,
          product.w_row_stride,
          product.x_row_stride,
          product.y_row_stride,
          alignment_bytes(product.w),
          alignment_bytes(product.x),
          alignment_bytes(product.y)};
}

// An algorithm, or why there is none.
struct Answer {
  const char* refusal;
  cublasLtMatmulAlgo_t algorithm;
};

// What cuBLASLt has answered: asking it again costs a search each time that it refuses. Thousands of shapes, then they are forgotten.
class Answers {
 public:
  bool find(const Question& question, Answer* answer) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = known_.find(question);
    if (found == known_.end()) return false;
    *answer = found->second;
    return true;
  }
  void keep(const Question& question, const Answer& answer) {
    constexpr size_t most = 4096;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (known_.size() >= most) known_.clear();
    known_[question] = answer;
  }

 private:
  std::mutex mutex_;
  std::map<Question, Answer> known_;
};

Answers& answers() {
  static Answers all;
  return all;
}

constexpr const char* heuristic = "cublasLtMatmulAlgoGetHeuristic";

// cuBLASLt's own choice for the problem.
Status ask(const Problem& problem, cublasLtHandle_t handle, Answer* answer) {
  if (problem.status != Status::ok) return problem.status;
  const RelaxedCapture relaxed;
  cublasLtMatmulHeuristicResult_t choice = {};
  int count = 0;
  const cublasStatus_t result =
      problem.lt.algo_get_heuristic(handle, problem.product.get(), problem.w.get(), problem.x.get(), problem.y.get(),
                                    problem.y.get(), problem.preference.get(), 1, &choice, &count);
  if (result == CUBLAS_STATUS_SUCCESS && count == 0) {
    *answer = {"there is no algorithm for these sizes and strides", {}};
    return Status::ok;
  }
  const cublasStatus_t state = result == CUBLAS_STATUS_SUCCESS ? choice.state : result;
  *answer = {state == CUBLAS_STATUS_NOT_SUPPORTED ? problem.lt.get_status_string(state) : nullptr, choice.algo};
  return answer->refusal != nullptr ? Status::ok : check(problem.lt, state, heuristic);
}

Status find_algorithm(const Product& product, const Problem& problem, cublasLtHandle_t handle, const Context& context,
                      Answer* answer) {
  const Question question = question_of(product, context.device.index);
  if (!answers().find(question, answer)) {
    const Status status = ask(problem, handle, answer);
    if (status != Status::ok) return status;
    answers().keep(question, *answer);
  }
  return answer->refusal == nullptr ? Status::ok : set_last_error(Status::cublaslt_failed, heuristic, answer->refusal);
}

// The library and its context, if there are such.
Status prepare(const Context& context, const CublasLt** lt, cublasLtHandle_t* handle) {
  const Status status = get_library(lt);
  return status == Status::ok ? get_handle(**lt, context.device.index, handle) : status;
}

// y = product, which does not read y. Scalar: of the product's scale type.
template <class Scalar>
Status multiply(const Product& product, void* workspace, const Context& context) {
  const CublasLt* lt = nullptr;
  cublasLtHandle_t handle = nullptr;
  Status status = prepare(context, &lt, &handle);
  if (status != Status::ok) return status;
  Problem problem{*lt};
  describe(product, &problem);
  if (problem.status != Status::ok) return problem.status;
  Answer answer = {};
  status = find_algorithm(product, problem, handle, context, &answer);
  if (status != Status::ok) return status;
  const Scalar one = 1, zero = 0;
  return check(
      *lt,
      lt->matmul(handle, problem.product.get(), &one, product.w, problem.w.get(), product.x, problem.x.get(), &zero, product.y,
                 problem.y.get(), product.y, problem.y.get(), &answer.algorithm, workspace, gemm_workspace_bytes, context.stream),
      "cublasLtMatmul");
}

cudaDataType_t data_type(Float8Type type) { return type == Float8Type::e4m3fn ? CUDA_R_8F_E4M3 : CUDA_R_8F_E5M2; }

int32_t scale_mode(Fp8GemmScaling scaling) {
  switch (scaling) {
    case Fp8GemmScaling::none: break;
    case Fp8GemmScaling::group: return CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F;
    case Fp8GemmScaling::block: return CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F;
  }
  return CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F;
}

Product product_of(const Fp8GemmArgs& args) {
  Product product{};
  product.compute_type = CUBLAS_COMPUTE_32F;
  product.scale_type = CUDA_R_32F;
  product.w_type = data_type(args.w.type);
  product.x_type = data_type(args.x.type);
  product.y_type = CUDA_R_32F;
  product.w = args.w.codes;
  product.x = args.x.codes;
  product.y = args.y;
  product.w_row_stride = args.w.row_stride;
  product.x_row_stride = args.x.row_stride;
  product.y_row_stride = args.N;
  product.M = args.M;
  product.N = args.N;
  product.K = args.K;
  product.is_fp8 = true;
  product.w_scale_mode = scale_mode(args.w.scaling);
  product.x_scale_mode = scale_mode(args.x.scaling);
  product.w_scale = args.w.scale;
  product.x_scale = args.x.scale;
  return product;
}

}  // namespace

bool gemm_is_available() {
  const CublasLt* lt = nullptr;
  return get_library(&lt) == Status::ok;
}

Status gemm(const GemmArgs& args, const Context& context) {
  if (reinterpret_cast<uintptr_t>(args.bias) % gemm_bias_alignment != 0) {
    return set_last_error(Status::cublaslt_failed, "gemm", "the bias is not aligned to 16 bytes");
  }
  Product product{};
  // fp32 operands are multiplied as fp32: TF32 would be another compute type.
  product.compute_type = CUBLAS_COMPUTE_32F;
  product.scale_type = CUDA_R_32F;
  product.w_type = product.x_type = data_type(args.type);
  product.y_type = args.y_is_f32 ? CUDA_R_32F : data_type(args.type);
  product.w = args.w;
  product.x = args.x;
  product.y = args.y;
  product.w_row_stride = args.w_row_stride;
  product.x_row_stride = args.x_row_stride;
  product.y_row_stride = args.y_row_stride;
  product.M = args.M;
  product.N = args.N;
  product.K = args.K;
  product.w_is_transposed = args.w_is_transposed;
  product.bias = args.bias;
  return multiply<float>(product, args.workspace, context);
}

Status int8_gemm(const Int8GemmArgs& args, const Context& context) {
  Product product{};
  product.compute_type = CUBLAS_COMPUTE_32I;
  product.scale_type = CUDA_R_32I;
  product.w_type = product.x_type = CUDA_R_8I;
  product.y_type = CUDA_R_32I;
  product.w = args.w;
  product.x = args.x;
  product.y = args.y;
  product.w_row_stride = args.w_row_stride;
  product.x_row_stride = args.x_row_stride;
  product.y_row_stride = args.N;
  product.M = args.M;
  product.N = args.N;
  product.K = args.K;
  return multiply<int32_t>(product, args.workspace, context);
}

Status fp8_gemm(const Fp8GemmArgs& args, const Context& context) {
  return multiply<float>(product_of(args), args.workspace, context);
}

bool supports_fp8_gemm(const Fp8GemmArgs& args, const Context& context) {
  if (!fp8_gemm_takes(args, context.device)) return false;
  const Product product = product_of(args);
  Answer answer = {};
  if (answers().find(question_of(product, context.device.index), &answer)) return answer.refusal == nullptr;
  const CublasLt* lt = nullptr;
  cublasLtHandle_t handle = nullptr;
  if (prepare(context, &lt, &handle) != Status::ok) return false;
  Problem problem{*lt};
  describe(product, &problem);
  return find_algorithm(product, problem, handle, context, &answer) == Status::ok;
}

}  // namespace torchao_ops::cuda
