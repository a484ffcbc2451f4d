// A matrix product by ggml's CPU backend behind a C interface, for ggml.py: y = x @ w.T with w in a ggml type, repacked for
// this CPU where ggml does so for its own users. Built only with GGML_DIR.

#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <ggml.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

namespace {

struct Weight {
  ggml_context* context;
  ggml_tensor* tensor;
  ggml_backend_buffer_t buffer;
};

struct Product {
  ggml_context* context;
  ggml_backend_buffer_t buffer;
  ggml_tensor *x, *y;
  ggml_cgraph* graph;
};

void log_warnings(ggml_log_level level, const char* text, void*) {
  if (level == GGML_LOG_LEVEL_WARN || level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
}

ggml_backend_t backend() {
  static ggml_backend_t cpu = (ggml_log_set(log_warnings, nullptr), ggml_backend_cpu_init());
  return cpu;
}

ggml_context* tensor_context() {
  // Room for the descriptions only: the data lies in backend buffers.
  return ggml_init({ggml_tensor_overhead() * 4 + ggml_graph_overhead(), nullptr, /*no_alloc=*/true});
}

// The buffer type in which ggml interleaves rows for its fast kernels; the plain one where it has none for this tensor.
ggml_backend_buffer_type_t weight_buffer_type(ggml_type type, int64_t rows) {
  ggml_backend_dev_t device = ggml_backend_get_device(backend());
  auto extra = reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(
      ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(device), "ggml_backend_dev_get_extra_bufts"));
  if (type == GGML_TYPE_Q4_0 && rows % 8 == 0 && extra) {
    for (ggml_backend_buffer_type_t* it = extra(device); it && *it; ++it) {
      if (std::strcmp(ggml_backend_buft_name(*it), "CPU_REPACK") == 0) return *it;
    }
  }
  return ggml_backend_get_default_buffer_type(backend());
}

Weight* make_weight(ggml_type type, int64_t rows, int64_t columns, const void* data) {
  auto* weight = new Weight{tensor_context(), nullptr, nullptr};
  weight->tensor = ggml_new_tensor_2d(weight->context, type, columns, rows);
  weight->buffer = ggml_backend_alloc_ctx_tensors_from_buft(weight->context, weight_buffer_type(type, rows));
  ggml_backend_tensor_set(weight->tensor, data, 0, ggml_nbytes(weight->tensor));
  return weight;
}

}  // namespace

extern "C" {

const char* bench_ggml_version() { return ggml_version(); }

void bench_ggml_set_threads(int threads) { ggml_backend_cpu_set_n_threads(backend(), threads); }

// `data`: rows * columns / 32 blocks of an fp16 scale and 16 bytes of codes.
Weight* bench_ggml_weight_q4_0(int64_t rows, int64_t columns, const void* data) {
  return make_weight(GGML_TYPE_Q4_0, rows, columns, data);
}

// `data`: rows * columns / 32 blocks of an fp16 scale and 32 signed bytes.
Weight* bench_ggml_weight_q8_0(int64_t rows, int64_t columns, const void* data) {
  return make_weight(GGML_TYPE_Q8_0, rows, columns, data);
}

// `data`: rows * columns bf16 values.
Weight* bench_ggml_weight_bf16(int64_t rows, int64_t columns, const void* data) {
  return make_weight(GGML_TYPE_BF16, rows, columns, data);
}

// 1 if the weight lies in ggml's interleaved form.
int bench_ggml_weight_is_repacked(const Weight* weight) {
  return std::strcmp(ggml_backend_buffer_name(weight->buffer), "CPU_REPACK") == 0;
}

void bench_ggml_weight_free(Weight* weight) {
  ggml_backend_buffer_free(weight->buffer);
  ggml_free(weight->context);
  delete weight;
}

// x: batch rows of fp32, copied here once.
Product* bench_ggml_product(const Weight* weight, int64_t batch, const float* x) {
  auto* product = new Product{tensor_context(), nullptr, nullptr, nullptr, nullptr};
  product->x = ggml_new_tensor_2d(product->context, GGML_TYPE_F32, weight->tensor->ne[0], batch);
  product->y = ggml_mul_mat(product->context, weight->tensor, product->x);
  product->graph = ggml_new_graph(product->context);
  ggml_build_forward_expand(product->graph, product->y);
  product->buffer = ggml_backend_alloc_ctx_tensors(product->context, backend());
  ggml_backend_tensor_set(product->x, x, 0, ggml_nbytes(product->x));
  return product;
}

// 0 on success.
int bench_ggml_product_run(Product* product) {
  return ggml_backend_graph_compute(backend(), product->graph) == GGML_STATUS_SUCCESS ? 0 : 1;
}

// batch * rows fp32 values, where the product leaves them.
const float* bench_ggml_product_result(const Product* product) { return ggml_get_data_f32(product->y); }

void bench_ggml_product_free(Product* product) {
  ggml_backend_buffer_free(product->buffer);
  ggml_free(product->context);
  delete product;
}

}  // extern "C"
