#include "csrc/cuda/cusparselt.h"

#ifdef TORCHAO_OPS_CUSPARSELT  // its header was found

#include <cuda_runtime_api.h>
#include <cusparseLt.h>
#include <dlfcn.h>

#include <map>
#include <memory>
#include <mutex>
#include <tuple>

#include "csrc/cuda/runtime_library.h"

namespace torchao_ops::cuda {
namespace {

// The functions of cuSPARSELt in use. Types and constants are the header's, of version 0.8.
struct CusparseLt {
  decltype(&cusparseLtGetProperty) get_property;
  decltype(&cusparseLtGetErrorString) get_error_string;
  decltype(&cusparseLtInit) init;
  decltype(&cusparseLtDenseDescriptorInit) dense_init;
  decltype(&cusparseLtStructuredDescriptorInit) structured_init;
  decltype(&cusparseLtMatDescriptorDestroy) matrix_destroy;
  decltype(&cusparseLtMatmulDescriptorInit) product_init;
  decltype(&cusparseLtMatmulAlgSelectionInit) algorithm_init;
  decltype(&cusparseLtMatmulAlgSelectionDestroy) algorithm_destroy;
  decltype(&cusparseLtMatmulPlanInit) plan_init;
  decltype(&cusparseLtMatmulPlanDestroy) plan_destroy;
  decltype(&cusparseLtMatmulGetWorkspace) get_workspace;
  decltype(&cusparseLtMatmulSearch) search;
  decltype(&cusparseLtMatmul) matmul;
  decltype(&cusparseLtSpMMACompressedSize2) compressed_size;
  decltype(&cusparseLtSpMMACompress2) compress;
};

bool find_all(void* library, CusparseLt* lt) {
  return find_function(library, "cusparseLtGetProperty", &lt->get_property) &&
         find_function(library, "cusparseLtGetErrorString", &lt->get_error_string) &&
         find_function(library, "cusparseLtInit", &lt->init) &&
         find_function(library, "cusparseLtDenseDescriptorInit", &lt->dense_init) &&
         find_function(library, "cusparseLtStructuredDescriptorInit", &lt->structured_init) &&
         find_function(library, "cusparseLtMatDescriptorDestroy", &lt->matrix_destroy) &&
         find_function(library, "cusparseLtMatmulDescriptorInit", &lt->product_init) &&
         find_function(library, "cusparseLtMatmulAlgSelectionInit", &lt->algorithm_init) &&
         find_function(library, "cusparseLtMatmulAlgSelectionDestroy", &lt->algorithm_destroy) &&
         find_function(library, "cusparseLtMatmulPlanInit", &lt->plan_init) &&
         find_function(library, "cusparseLtMatmulPlanDestroy", &lt->plan_destroy) &&
         find_function(library, "cusparseLtMatmulGetWorkspace", &lt->get_workspace) &&
         find_function(library, "cusparseLtMatmulSearch", &lt->search) &&
         find_function(library, "cusparseLtMatmul", &lt->matmul) &&
         find_function(library, "cusparseLtSpMMACompressedSize2", &lt->compressed_size) &&
         find_function(library, "cusparseLtSpMMACompress2", &lt->compress);
}

Status failed(const char* call, const char* reason) { return set_last_error(Status::cuda_failed, call, reason); }

// Older versions have other enumerations and larger structs.
bool is_known(const CusparseLt& lt) {
  int major = 0, minor = 0;
  return lt.get_property(MAJOR_VERSION, &major) == CUSPARSE_STATUS_SUCCESS &&
         lt.get_property(MINOR_VERSION, &minor) == CUSPARSE_STATUS_SUCCESS &&
         (major > CUSPARSELT_VER_MAJOR || (major == CUSPARSELT_VER_MAJOR && minor >= CUSPARSELT_VER_MINOR));
}

// The library that the process has loaded already (torch's), or else one that the system finds.
Status open_library(CusparseLt* lt) {
  constexpr const char* name = "libcusparseLt.so.0";
  for (const int loaded_only : {RTLD_NOLOAD, 0}) {
    void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL | loaded_only);
    if (library == nullptr) continue;
    if (find_all(library, lt) && is_known(*lt)) return Status::ok;  // and stays open
    return failed("dlopen", "libcusparseLt is older than version 0.8");
  }
  const char* reason = dlerror();
  return failed("dlopen", reason != nullptr ? reason : name);
}

// A failure is not remembered: torch's CUDA library may be loaded later.
Status get_library(const CusparseLt** lt) {
  static std::mutex mutex;
  static CusparseLt functions;
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

Status check(const CusparseLt& lt, cusparseStatus_t status, const char* call) {
  return status == CUSPARSE_STATUS_SUCCESS ? Status::ok : failed(call, lt.get_error_string(status));
}

struct Types {
  cudaDataType operands, result;
  cusparseComputeType sums;
};
Types types_of(sparse24::ValueType type) {
  switch (type) {
    case sparse24::ValueType::bf16: return {CUDA_R_16BF, CUDA_R_16BF, CUSPARSE_COMPUTE_32F};
    case sparse24::ValueType::int8: return {CUDA_R_8I, CUDA_R_32I, CUSPARSE_COMPUTE_32I};
    case sparse24::ValueType::e4m3fn: return {CUDA_R_8F_E4M3, CUDA_R_32F, CUSPARSE_COMPUTE_32F};
    default: return {CUDA_R_16F, CUDA_R_16F, CUSPARSE_COMPUTE_32F};
  }
}

// A struct of the library, and the function that frees what it holds once it is initialized.
template <class T>
class Owned {
 public:
  explicit Owned(cusparseStatus_t (*destroy)(const T*)) : destroy_(destroy) {}
  ~Owned() {
    if (is_initialized) static_cast<void>(destroy_(&value));
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;

  T value;
  bool is_initialized = false;

 private:
  cusparseStatus_t (*destroy_)(const T*);
};

Status init_weight(const CusparseLt& lt, const cusparseLtHandle_t* handle, sparse24::ValueType type, int64_t N, int64_t K,
                   Owned<cusparseLtMatDescriptor_t>* weight) {
  const Status status = check(lt,
                              lt.structured_init(handle, &weight->value, N, K, K, cusparselt_alignment, types_of(type).operands,
                                                 CUSPARSE_ORDER_ROW, CUSPARSELT_SPARSITY_50_PERCENT),
                              "cusparseLtStructuredDescriptorInit");
  weight->is_initialized = status == Status::ok;
  return status;
}

// How a product is run. The library's structs may point to each other: it stays where it is.
struct Plan {
  explicit Plan(const CusparseLt& lt)
      : w(lt.matrix_destroy),
        x(lt.matrix_destroy),
        y(lt.matrix_destroy),
        algorithm(lt.algorithm_destroy),
        plan(lt.plan_destroy) {}

  Owned<cusparseLtMatDescriptor_t> w, x, y;
  cusparseLtMatmulDescriptor_t product;
  Owned<cusparseLtMatmulAlgSelection_t> algorithm;
  Owned<cusparseLtMatmulPlan_t> plan;  // destroyed first
  bool is_searched = false;
};

// y^T [N, M] = w [N, K] * x^T, where y^T is column-major, as y lies, and x^T is x, row-major, transposed.
Status init_plan(const CusparseLt& lt, const cusparseLtHandle_t* handle, const CusparseLtMatmulArgs& args, Plan* p) {
  const Types types = types_of(args.type);
  const auto done = [&](cusparseStatus_t result, const char* call, bool* is_initialized) {
    const Status status = check(lt, result, call);
    if (is_initialized != nullptr) *is_initialized = status == Status::ok;
    return status == Status::ok;
  };
  const char* const dense = "cusparseLtDenseDescriptorInit";
  if (init_weight(lt, handle, args.type, args.N, args.K, &p->w) != Status::ok) return Status::cuda_failed;
  if (!done(lt.dense_init(handle, &p->x.value, args.M, args.K, args.K, cusparselt_alignment, types.operands, CUSPARSE_ORDER_ROW),
            dense, &p->x.is_initialized) ||
      !done(lt.dense_init(handle, &p->y.value, args.N, args.M, args.N, cusparselt_alignment, types.result, CUSPARSE_ORDER_COL),
            dense, &p->y.is_initialized) ||
      !done(lt.product_init(handle, &p->product, CUSPARSE_OPERATION_NON_TRANSPOSE, CUSPARSE_OPERATION_TRANSPOSE, &p->w.value,
                            &p->x.value, &p->y.value, &p->y.value, types.sums),
            "cusparseLtMatmulDescriptorInit", nullptr)) {
    return Status::cuda_failed;
  }
  return done(lt.algorithm_init(handle, &p->algorithm.value, &p->product, CUSPARSELT_MATMUL_ALG_DEFAULT),
              "cusparseLtMatmulAlgSelectionInit", &p->algorithm.is_initialized) &&
                 done(lt.plan_init(handle, &p->plan.value, &p->product, &p->algorithm.value), "cusparseLtMatmulPlanInit",
                      &p->plan.is_initialized)
             ? Status::ok
             : Status::cuda_failed;
}

// What is kept for the life of the process, because at its end the driver may be gone before us. The mutex is held whenever a plan is in use.
using Key = std::tuple<int, sparse24::ValueType, int64_t, int64_t, int64_t>;
struct Kept {
  std::mutex mutex;
  std::map<int, std::unique_ptr<cusparseLtHandle_t>> handles;  // by device
  std::map<Key, std::unique_ptr<Plan>> plans;
};
Kept& kept() {
  static Kept& all = *new Kept;
  return all;
}

// The library and its handle of the current device.
Status prepare(const Context& context, const CusparseLt** lt, const cusparseLtHandle_t** handle) {
  Status status = get_library(lt);
  if (status != Status::ok) return status;
  std::unique_ptr<cusparseLtHandle_t>& known = kept().handles[context.device.index];
  if (known == nullptr) {
    auto made = std::make_unique<cusparseLtHandle_t>();
    const RelaxedCapture relaxed;
    status = check(**lt, (*lt)->init(made.get()), "cusparseLtInit");
    if (status != Status::ok) return status;
    known = std::move(made);
  }
  *handle = known.get();
  return Status::ok;
}

constexpr float one = 1, zero = 0;  // fp32 for integers, too

Status check_workspace(const CusparseLt& lt, const cusparseLtHandle_t* handle, const Plan& plan) {
  size_t bytes = 0;
  const Status status = check(lt, lt.get_workspace(handle, &plan.plan.value, &bytes), "cusparseLtMatmulGetWorkspace");
  if (status != Status::ok) return status;
  return bytes <= static_cast<size_t>(cusparselt_workspace_bytes)
             ? Status::ok
             : failed("cusparseLtMatmulGetWorkspace", "the product needs more than 32 MiB");
}

Status get_plan(const CusparseLt& lt, const cusparseLtHandle_t* handle, const CusparseLtMatmulArgs& args, const Context& context,
                Plan** plan) {
  auto& plans = kept().plans;
  const Key key{context.device.index, args.type, args.M, args.N, args.K};
  const auto found = plans.find(key);
  if (found != plans.end()) {
    *plan = found->second.get();
    return Status::ok;
  }
  const RelaxedCapture relaxed;
  auto made = std::make_unique<Plan>(lt);
  Status status = init_plan(lt, handle, args, made.get());
  if (status == Status::ok) status = check_workspace(lt, handle, *made);
  if (status != Status::ok) return status;
  constexpr size_t most_plans = 1024;  // of some 3 KiB
  if (plans.size() >= most_plans) plans.clear();
  *plan = made.get();
  plans.emplace(key, std::move(made));
  return Status::ok;
}

Status search(const CusparseLt& lt, const cusparseLtHandle_t* handle, const CusparseLtMatmulArgs& args, const Context& context,
              Plan* plan) {
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  const cudaError_t error = cudaStreamIsCapturing(context.stream, &capture);
  if (error != cudaSuccess) return failed("cudaStreamIsCapturing", cudaGetErrorString(error));
  if (capture != cudaStreamCaptureStatusNone) return Status::ok;
  cudaStream_t stream = context.stream;
  const Status status = check(
      lt, lt.search(handle, &plan->plan.value, &one, args.packed, args.x, &zero, args.y, args.y, args.workspace, &stream, 1),
      "cusparseLtMatmulSearch");
  plan->is_searched = status == Status::ok;
  return status == Status::ok ? check_workspace(lt, handle, *plan) : status;
}

}  // namespace

bool cusparselt_is_available() {
  const CusparseLt* lt = nullptr;
  return get_library(&lt) == Status::ok;
}

Status cusparselt_sizes(sparse24::ValueType type, int64_t N, int64_t K, const Context& context, CusparseLtSizes* sizes) {
  const std::lock_guard<std::mutex> lock(kept().mutex);
  const CusparseLt* lt = nullptr;
  const cusparseLtHandle_t* handle = nullptr;
  Status status = prepare(context, &lt, &handle);
  if (status != Status::ok) return status;
  Owned<cusparseLtMatDescriptor_t> weight(lt->matrix_destroy);
  status = init_weight(*lt, handle, type, N, K, &weight);
  if (status != Status::ok) return status;
  size_t packed = 0, scratch = 0;
  status = check(*lt, lt->compressed_size(handle, &weight.value, &packed, &scratch), "cusparseLtSpMMACompressedSize2");
  *sizes = {static_cast<int64_t>(packed), static_cast<int64_t>(scratch)};
  return status;
}

Status cusparselt_compress(const CusparseLtCompressArgs& args, const Context& context) {
  const std::lock_guard<std::mutex> lock(kept().mutex);
  const CusparseLt* lt = nullptr;
  const cusparseLtHandle_t* handle = nullptr;
  Status status = prepare(context, &lt, &handle);
  if (status != Status::ok) return status;
  Owned<cusparseLtMatDescriptor_t> weight(lt->matrix_destroy);
  status = init_weight(*lt, handle, args.type, args.N, args.K, &weight);
  if (status != Status::ok) return status;
  constexpr int is_first_operand = 1;
  return check(*lt,
               lt->compress(handle, &weight.value, is_first_operand, CUSPARSE_OPERATION_NON_TRANSPOSE, args.weight, args.packed,
                            args.scratch, context.stream),
               "cusparseLtSpMMACompress2");
}

Status cusparselt_matmul(const CusparseLtMatmulArgs& args, const Context& context) {
  const std::lock_guard<std::mutex> lock(kept().mutex);
  const CusparseLt* lt = nullptr;
  const cusparseLtHandle_t* handle = nullptr;
  Status status = prepare(context, &lt, &handle);
  Plan* plan = nullptr;
  if (status == Status::ok) status = get_plan(*lt, handle, args, context, &plan);
  if (status == Status::ok && !plan->is_searched) status = search(*lt, handle, args, context, plan);
  if (status == Status::ok && args.fill_y) status = args.fill_y();
  if (status != Status::ok) return status;
  cudaStream_t stream = context.stream;
  return check(*lt,
               lt->matmul(handle, &plan->plan.value, &one, args.packed, args.x, args.fill_y ? &one : &zero, args.y, args.y,
                          args.workspace, &stream, 1),
               "cusparseLtMatmul");
}

}  // namespace torchao_ops::cuda

#else

namespace torchao_ops::cuda {
namespace {

Status unavailable() {
  return set_last_error(Status::cuda_failed, "cuSPARSELt", "this libtorchao_ops.so was built without cusparseLt.h");
}

}  // namespace

bool cusparselt_is_available() { return false; }
Status cusparselt_sizes(sparse24::ValueType, int64_t, int64_t, const Context&, CusparseLtSizes*) { return unavailable(); }
Status cusparselt_compress(const CusparseLtCompressArgs&, const Context&) { return unavailable(); }
Status cusparselt_matmul(const CusparseLtMatmulArgs&, const Context&) { return unavailable(); }

}  // namespace torchao_ops::cuda

#endif
