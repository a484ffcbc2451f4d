// The operators through the dispatcher, on torch tensors: shapes, strides, every error sentence, threads, fork, a second copy of the library.
// The only test that includes torch's headers.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/_neg_view.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "csrc/ops/torchao_ops.h"

namespace torchao_ops::test {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

const at::ScalarType float_types[] = {at::kFloat, at::kHalf, at::kBFloat16};

// The arguments of int4_mm, legal until a test changes one.
struct Arguments {
  Tensor x, weight_packed, weight_scale;
  OptionalTensor weight_zero_point, bias;
  int64_t group_size;
};

Arguments legal_arguments(at::IntArrayRef x_shape = {5, 70}, int64_t N = 6, int64_t group_size = 32,
                          at::ScalarType dtype = at::kFloat) {
  const int64_t K = x_shape.back(), G = (K + group_size - 1) / group_size;
  return {at::randn(x_shape).to(dtype),
          at::randint(0, 256, {N, (K + 1) / 2}, at::kByte),
          (at::randn({N, G}) * 0.1).to(dtype),
          at::randint(0, 16, {N, G}, at::kFloat).to(dtype),
          at::randn({N}).to(dtype),
          group_size};
}

using Mm = Tensor (*)(const Tensor&, const Tensor&, const Tensor&, const OptionalTensor&, int64_t, const OptionalTensor&);
struct NamedMm {
  const char* name;
  Mm call;
};
const NamedMm products[] = {{"int4_mm", int4_mm}, {"int4_dynamic_mm", int4_dynamic_mm}};

Tensor call(Mm mm, const Arguments& a) {
  return mm(a.x, a.weight_packed, a.weight_scale, a.weight_zero_point, a.group_size, a.bias);
}

// The first line of what a call throws; a c10::Error adds a backtrace after it.
std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::exception& error) {
    const std::string what = error.what();
    return what.substr(0, what.find('\n'));
  }
  return "no error";
}

TEST(Capabilities, IsJson) {
  const std::string json = capabilities();
  EXPECT_EQ(json.front(), '{');
  EXPECT_EQ(json.back(), '}');
  for (const char* key :
       {"version", "torch_abi", "isa", "isa_available", "avx512_bf16", "avx512_vbmi2", "cuda_archs", "cublaslt", "cusparselt"}) {
    EXPECT_NE(json.find('"' + std::string(key) + "\": "), std::string::npos) << key;
  }
}

TEST(Int4Operators, AgreeWithDense) {
  for (const at::ScalarType dtype : float_types) {
    const int64_t K = 70, group_size = 32;
    const Tensor weight = at::randn({9, K}).to(dtype), x = at::randn({2, 3, K}).to(dtype), bias = at::randn({9}).to(dtype);
    for (const bool symmetric : {false, true}) {
      const auto [packed, scale, zero_point] = int4_quantize(weight, group_size, symmetric);
      EXPECT_EQ(packed.scalar_type(), at::kByte);
      EXPECT_EQ(scale.scalar_type(), dtype);
      EXPECT_EQ(zero_point.scalar_type(), dtype);
      EXPECT_EQ(packed.sizes(), (at::IntArrayRef{9, 35}));
      EXPECT_EQ(scale.sizes(), (at::IntArrayRef{9, 3}));
      EXPECT_EQ(zero_point.sizes(), (at::IntArrayRef{9, 3}));
      if (symmetric) {
        EXPECT_TRUE(at::equal(int4_dequantize(packed, scale, std::nullopt, group_size, K),
                              int4_dequantize(packed, scale, zero_point, group_size, K)));
      }
      const Tensor w = int4_dequantize(packed, scale, zero_point, group_size, K, at::kFloat);
      const Tensor dense = at::linear(x.to(at::kFloat), w, bias.to(at::kFloat));
      auto error = [&](const Tensor& y) {
        EXPECT_EQ(y.scalar_type(), dtype);
        EXPECT_EQ(y.sizes(), (at::IntArrayRef{2, 3, 9}));
        return ((y.to(at::kFloat) - dense).norm() / dense.norm()).item<double>();
      };
      // The result's own rounding, at most a unit roundoff, or fp32's; for the dynamic product x's 8 bits, about 0.006, in samples this small up to
      // thrice that. (The kernel tests bound the error element by element.)
      const double roundoff = dtype == at::kFloat ? 1e-6 : dtype == at::kHalf ? 0x1p-11 : 0x1p-8;
      EXPECT_LE(error(int4_mm(x, packed, scale, zero_point, group_size, bias)), roundoff);
      EXPECT_LE(error(int4_dynamic_mm(x, packed, scale, zero_point, group_size, bias)), 0.02 + roundoff);
    }
  }
}

TEST(Int4Operators, DequantizeToAnyType) {
  const Arguments a = legal_arguments();
  EXPECT_EQ(int4_dequantize(a.weight_packed, a.weight_scale.to(at::kHalf), a.weight_zero_point, 32, 70).scalar_type(), at::kHalf);
  const Tensor exact = int4_dequantize(a.weight_packed, a.weight_scale, a.weight_zero_point, 32, 70);
  for (const at::ScalarType dtype : float_types) {
    EXPECT_TRUE(at::equal(int4_dequantize(a.weight_packed, a.weight_scale, a.weight_zero_point, 32, 70, dtype), exact.to(dtype)));
  }
}

TEST(Int4Operators, EveryCombinationOfTypes) {
  for (const NamedMm& mm : products) {
    for (const at::ScalarType x_type : float_types)
      for (const at::ScalarType scale_type : float_types)
        for (const at::ScalarType zero_point_type : float_types)
          for (const at::ScalarType bias_type : float_types) {
            Arguments a = legal_arguments();
            a.x = a.x.to(x_type);
            a.weight_scale = a.weight_scale.to(scale_type);
            a.weight_zero_point = a.weight_zero_point->to(zero_point_type);
            a.bias = a.bias->to(bias_type);
            Arguments as_float = a;
            as_float.weight_scale = a.weight_scale.to(at::kFloat);
            as_float.weight_zero_point = a.weight_zero_point->to(at::kFloat);
            as_float.bias = a.bias->to(at::kFloat);
            EXPECT_TRUE(at::equal(call(mm.call, a), call(mm.call, as_float))) << mm.name;
          }
  }
}

TEST(Int4Operators, ShapesOfX) {
  for (const NamedMm& mm : products) {
    const Arguments a = legal_arguments({12, 70});
    const Tensor y = call(mm.call, a);
    Arguments b = a;
    b.x = a.x.view({2, 3, 2, 70});
    EXPECT_TRUE(at::equal(call(mm.call, b), y.view({2, 3, 2, 6}))) << mm.name;
    b.x = a.x.select(0, 4);
    b.bias = std::nullopt;
    Arguments row = a;
    row.x = a.x.narrow(0, 4, 1);
    row.bias = std::nullopt;
    EXPECT_TRUE(at::equal(call(mm.call, b), call(mm.call, row).select(0, 0))) << mm.name;
  }
}

TEST(Int4Operators, EmptySizes) {
  for (const NamedMm& mm : products) {
    Arguments a = legal_arguments({0, 70});
    EXPECT_EQ(call(mm.call, a).sizes(), (at::IntArrayRef{0, 6})) << mm.name;
    a = legal_arguments({3, 0, 70});
    EXPECT_EQ(call(mm.call, a).sizes(), (at::IntArrayRef{3, 0, 6})) << mm.name;
    a = legal_arguments({3, 70}, 0);
    EXPECT_EQ(call(mm.call, a).sizes(), (at::IntArrayRef{3, 0})) << mm.name;
    for (const int64_t M : {1, 3, 40}) {
      a = legal_arguments({M, 0});
      EXPECT_TRUE(at::equal(call(mm.call, a), a.bias->expand({M, 6}))) << mm.name << " M=" << M;
      a.bias = std::nullopt;
      EXPECT_TRUE(at::equal(call(mm.call, a), at::zeros({M, 6}))) << mm.name << " M=" << M;
    }
  }
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{0, 5}, {5, 0}, {0, 0}}) {
    const auto [packed, scale, zero_point] = int4_quantize(at::zeros(shape), 32);
    EXPECT_EQ(packed.sizes(), (at::IntArrayRef{shape[0], (shape[1] + 1) / 2}));
    EXPECT_EQ(scale.sizes(), (at::IntArrayRef{shape[0], shape[1] == 0 ? 0 : 1}));
    EXPECT_EQ(int4_dequantize(packed, scale, zero_point, 32, shape[1]).sizes(), at::IntArrayRef(shape));
  }
}

// A tensor with the same values whose memory lies differently.
std::vector<Tensor> other_layouts(const Tensor& t) {
  const int64_t last = t.dim() - 1;
  std::vector<int64_t> wider = t.sizes().vec();
  wider[last] += 3;
  std::vector<int64_t> doubled = t.sizes().vec();
  doubled[last] *= 2;
  Tensor offset = at::empty(t.numel() + 1, t.options()).narrow(0, 1, t.numel()).view(t.sizes());  // begins at an odd element
  Tensor padded = at::empty(wider, t.options()).narrow(last, 1, t.size(last));
  Tensor every_second = at::empty(doubled, t.options()).as_strided(t.sizes(), [&] {
    std::vector<int64_t> strides = at::empty(doubled, t.options()).strides().vec();
    strides[last] = 2;
    return strides;
  }());
  std::vector<Tensor> layouts{offset, padded, every_second};
  if (t.dim() == 2) layouts.push_back(at::empty({t.size(1), t.size(0)}, t.options()).t());
  for (Tensor& layout : layouts) layout.copy_(t);
  return layouts;
}

TEST(Int4Operators, AnyStridesGiveTheSameBits) {
  for (const at::ScalarType dtype : float_types) {
    const Arguments a = legal_arguments({5, 70}, 6, 32, dtype);
    for (const NamedMm& mm : products) {
      const Tensor y = call(mm.call, a);
      for (int argument = 0; argument < 5; ++argument) {
        Arguments b = a;
        const Tensor original = argument == 0   ? a.x
                                : argument == 1 ? a.weight_packed
                                : argument == 2 ? a.weight_scale
                                : argument == 3 ? *a.weight_zero_point
                                                : *a.bias;
        for (const Tensor& layout : other_layouts(original)) {
          if (argument == 0) b.x = layout;
          if (argument == 1) b.weight_packed = layout;
          if (argument == 2) b.weight_scale = layout;
          if (argument == 3) b.weight_zero_point = layout;
          if (argument == 4) b.bias = layout;
          EXPECT_TRUE(at::equal(call(mm.call, b), y)) << mm.name << " argument " << argument << " strides " << layout.strides();
        }
      }
      // Rows and elements that share memory.
      for (const Tensor& x : {a.x.narrow(0, 0, 1).expand({5, 70}), a.x.narrow(1, 0, 1).expand({5, 70}),
                              a.x.view({350}).as_strided({5, 70}, {1, 1}), a.x.view({350}).as_strided({5, 70}, {3, 2})}) {
        Arguments b = a;
        b.x = x;
        const Tensor got = call(mm.call, b);
        b.x = x.contiguous();
        EXPECT_TRUE(at::equal(got, call(mm.call, b))) << mm.name << " x with strides " << x.strides();
      }
      Arguments b = a;
      b.weight_scale = a.weight_scale.narrow(0, 0, 1).expand({6, 3});
      b.weight_packed = a.weight_packed.narrow(0, 0, 1).expand({6, 35});
      b.bias = a.bias->narrow(0, 0, 1).expand({6});
      const Tensor got = call(mm.call, b);
      b.weight_scale = b.weight_scale.contiguous();
      b.weight_packed = b.weight_packed.contiguous();
      b.bias = b.bias->contiguous();
      EXPECT_TRUE(at::equal(got, call(mm.call, b))) << mm.name << " expanded weight";
      b = a;
      b.x = at::_neg_view(a.x);
      const Tensor negated = call(mm.call, b);
      b.x = -a.x;
      EXPECT_TRUE(at::equal(negated, call(mm.call, b))) << mm.name << " lazily negated x";
    }
    const Tensor weight = at::randn({6, 70}).to(dtype);
    const auto expected = int4_quantize(weight, 32);
    for (const Tensor& layout : other_layouts(weight)) {
      const auto got = int4_quantize(layout, 32);
      EXPECT_TRUE(at::equal(std::get<0>(got), std::get<0>(expected)) && at::equal(std::get<1>(got), std::get<1>(expected)) &&
                  at::equal(std::get<2>(got), std::get<2>(expected)))
          << layout.strides();
    }
    const Tensor dequantized = int4_dequantize(a.weight_packed, a.weight_scale, a.weight_zero_point, 32, 70);
    for (const Tensor& packed : other_layouts(a.weight_packed)) {
      for (const Tensor& scale : other_layouts(a.weight_scale)) {
        EXPECT_TRUE(at::equal(int4_dequantize(packed, scale, a.weight_zero_point, 32, 70), dequantized))
            << packed.strides() << scale.strides();
      }
    }
  }
}

TEST(Int4Operators, DoNotChangeTheirArguments) {
  for (const NamedMm& mm : products) {
    const Arguments a = legal_arguments();
    const Arguments copy{
        a.x.clone(), a.weight_packed.clone(), a.weight_scale.clone(), a.weight_zero_point->clone(), a.bias->clone(),
        a.group_size};
    call(mm.call, a);
    EXPECT_TRUE(at::equal(a.x, copy.x) && at::equal(a.weight_packed, copy.weight_packed) &&
                at::equal(a.weight_scale, copy.weight_scale) && at::equal(*a.weight_zero_point, *copy.weight_zero_point) &&
                at::equal(*a.bias, *copy.bias));
  }
}

TEST(Int4Operators, DoNotDependOnTheNumberOfThreads) {
  const int before = at::get_num_threads();
  for (const NamedMm& mm : products) {
    for (const int64_t M : {1, 3, 40}) {
      // A million products a row: enough for threads to be woken.
      const Arguments a = legal_arguments({M, 1000}, 1000);
      at::set_num_threads(1);
      const Tensor once = call(mm.call, a);
      for (const int threads : {2, 3}) {
        at::set_num_threads(threads);
        EXPECT_TRUE(at::equal(call(mm.call, a), once)) << mm.name << " with " << threads << " threads";
      }
    }
  }
  at::set_num_threads(before);
}

// Called from a task of torch's pool, where a nested parallel region has one thread.
TEST(Int4Operators, WorkInsideAParallelRegion) {
  for (const NamedMm& mm : products) {
    const Arguments a = legal_arguments({40, 300}, 130);
    const Tensor expected = call(mm.call, a);
    std::vector<Tensor> got(4);
    at::parallel_for(0, 4, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) got[i] = call(mm.call, a);
    });
    for (const Tensor& y : got) EXPECT_TRUE(at::equal(y, expected)) << mm.name;
  }
}

// A forked child (a DataLoader worker) has none of its parent's pool threads: the operators must not wait for them.
TEST(Int4Operators, ReturnInAForkedChild) {
  const Arguments a = legal_arguments({40, 300}, 130);
  at::parallel_for(0, 1000, 1, [](int64_t, int64_t) {});  // the pool is running
  for (const NamedMm& mm : products) {
    const Tensor expected = call(mm.call, a);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      alarm(30);  // a child that waits for ever is killed
      const Tensor y = call(mm.call, a);
      _exit(std::memcmp(y.const_data_ptr(), expected.const_data_ptr(), y.nbytes()) == 0 ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status)) << mm.name << ": the child was killed by signal " << WTERMSIG(status);
    EXPECT_EQ(WEXITSTATUS(status), 0) << mm.name << ": the child got other numbers";
  }
}

// ---- nf4 ----

// An nf4 weight as the operators take it, plain or doubly quantized.
struct Nf4Weight {
  Tensor packed, absmax;
  OptionalTensor absmax_code, nested_absmax, absmax_offset;
  int64_t block_size = 64, nested_block_size = 256;
};

Nf4Weight quantized(const Tensor& weight, bool doubly, int64_t block_size = 64, int64_t nested_block_size = 256) {
  const auto [packed, absmax] = nf4_quantize(weight, block_size);
  if (!doubly) return {packed, absmax, {}, {}, {}, block_size, nested_block_size};
  const auto [codes, code, nested, offset] = nf4_quantize_absmax(absmax, nested_block_size);
  return {packed, codes, code, nested, offset, block_size, nested_block_size};
}

Tensor call_dequantize(const Nf4Weight& w, at::IntArrayRef shape, std::optional<at::ScalarType> dtype = std::nullopt) {
  return nf4_dequantize(w.packed, w.absmax, shape, w.block_size, dtype, w.absmax_code, w.nested_absmax, w.absmax_offset,
                        w.nested_block_size);
}
Tensor call_dequantize_out(const Nf4Weight& w, at::IntArrayRef shape, Tensor out) {
  return nf4_dequantize_out(out, w.packed, w.absmax, shape, w.block_size, w.absmax_code, w.nested_absmax, w.absmax_offset,
                            w.nested_block_size);
}
Tensor call_mm(const Tensor& x, const Nf4Weight& w, int64_t N, const OptionalTensor& bias = std::nullopt) {
  return nf4_mm(x, w.packed, w.absmax, N, w.block_size, bias, w.absmax_code, w.nested_absmax, w.absmax_offset,
                w.nested_block_size);
}
Tensor call_backward(const Tensor& grad, const Nf4Weight& w, int64_t K) {
  return nf4_mm_backward(grad, w.packed, w.absmax, K, w.block_size, w.absmax_code, w.nested_absmax, w.absmax_offset,
                         w.nested_block_size);
}

TEST(Nf4Operators, AgreeWithDense) {
  for (const at::ScalarType dtype : float_types) {
    for (const int64_t K : {64, 33}) {
      const Tensor weight = at::randn({9, K}).to(dtype), x = at::randn({2, 3, K}).to(dtype), bias = at::randn({9}).to(dtype);
      for (const bool doubly : {false, true}) {
        const Nf4Weight w = quantized(weight, doubly, 32, 4);
        const int64_t blocks = (9 * K + 31) / 32;
        EXPECT_EQ(w.packed.sizes(), (at::IntArrayRef{(9 * K + 1) / 2}));
        EXPECT_EQ(w.absmax.sizes(), (at::IntArrayRef{blocks}));
        EXPECT_EQ(w.absmax.scalar_type(), doubly ? at::kByte : at::kFloat);
        if (doubly) {
          EXPECT_EQ(w.absmax_code->sizes(), (at::IntArrayRef{256}));
          EXPECT_EQ(w.nested_absmax->sizes(), (at::IntArrayRef{(blocks + 3) / 4}));
          EXPECT_EQ(w.absmax_offset->dim(), 0);
        }
        const Tensor dense = call_dequantize(w, {9, K});
        EXPECT_EQ(dense.scalar_type(), at::kFloat);
        EXPECT_TRUE(at::equal(call_dequantize(w, {3, 3 * K}, dtype).view({9, K}), dense.to(dtype)));
        Tensor wide = at::zeros({9, K + 3}, dense.options().dtype(dtype));
        for (const Tensor& out : {at::empty({9, K}, wide.options()), wide.narrow(1, 2, K)}) {
          EXPECT_TRUE(at::equal(call_dequantize_out(w, {9, K}, out), dense.to(dtype)));
          EXPECT_TRUE(at::equal(out, dense.to(dtype)));
        }
        auto error = [&](const Tensor& y, const Tensor& expected) {
          EXPECT_EQ(y.scalar_type(), dtype);
          EXPECT_EQ(y.sizes(), expected.sizes());
          return ((y.to(at::kFloat) - expected).norm() / expected.norm()).item<double>();
        };
        const double roundoff = dtype == at::kFloat ? 1e-6 : dtype == at::kHalf ? 0x1p-11 : 0x1p-8;
        const Tensor expected = at::linear(x.to(at::kFloat), dense, bias.to(at::kFloat));
        EXPECT_LE(error(call_mm(x, w, 9, bias), expected), roundoff);
        const Tensor grad = at::randn({2, 3, 9}).to(dtype);
        EXPECT_LE(error(call_backward(grad, w, K), at::linear(grad.to(at::kFloat), dense.t())), roundoff);
      }
    }
  }
}

TEST(Nf4Operators, AnyStridesGiveTheSameBits) {
  const Tensor weight = at::randn({9, 70}), x = at::randn({4, 70}), grad = at::randn({4, 9});
  for (const bool doubly : {false, true}) {
    const Nf4Weight w = quantized(weight, doubly, 32, 4);
    const Tensor y = call_mm(x, w, 9), grad_x = call_backward(grad, w, 70), dense = call_dequantize(w, {9, 70});
    std::vector<Nf4Weight> weights;
    for (Tensor Nf4Weight::*const part : {&Nf4Weight::packed, &Nf4Weight::absmax}) {
      for (const Tensor& layout : other_layouts(w.*part)) {
        weights.push_back(w);
        weights.back().*part = layout;
      }
    }
    weights.push_back(w);
    weights.back().packed = w.packed.view({-1, 1});  // bitsandbytes'
    for (OptionalTensor Nf4Weight::*const part : {&Nf4Weight::absmax_code, &Nf4Weight::nested_absmax}) {
      if (!doubly) continue;
      for (const Tensor& layout : other_layouts(*(w.*part))) {
        weights.push_back(w);
        weights.back().*part = layout;
      }
    }
    for (const Nf4Weight& other : weights) {
      EXPECT_TRUE(at::equal(call_mm(x, other, 9), y));
      EXPECT_TRUE(at::equal(call_backward(grad, other, 70), grad_x));
      EXPECT_TRUE(at::equal(call_dequantize(other, {9, 70}), dense));
    }
    for (const Tensor& layout : other_layouts(weight)) EXPECT_TRUE(at::equal(quantized(layout, false, 32).packed, w.packed));
  }
}

TEST(Nf4Operators, EmptySizes) {
  for (const bool doubly : {false, true}) {
    EXPECT_EQ(call_mm(at::zeros({0, 70}), quantized(at::zeros({6, 70}), doubly), 6).sizes(), (at::IntArrayRef{0, 6}));
    EXPECT_EQ(call_mm(at::zeros({3, 70}), quantized(at::zeros({0, 70}), doubly), 0).sizes(), (at::IntArrayRef{3, 0}));
    const Nf4Weight no_columns = quantized(at::zeros({6, 0}), doubly), no_rows = quantized(at::zeros({0, 6}), doubly);
    const Tensor bias = at::randn({6});
    EXPECT_TRUE(at::equal(call_mm(at::zeros({3, 0}), no_columns, 6, bias), bias.expand({3, 6})));
    EXPECT_TRUE(at::equal(call_backward(at::zeros({3, 0}), no_rows, 6), at::zeros({3, 6})));
    EXPECT_EQ(call_dequantize(no_rows, {0, 6}).sizes(), (at::IntArrayRef{0, 6}));
  }
}

// ---- 2:4 ----

const at::ScalarType value_types[] = {at::kFloat, at::kHalf, at::kBFloat16, at::kChar, at::kFloat8_e4m3fn};

struct Sparse24Weight {
  Tensor values, bitmask, scale, dense;  // dense: without the scale, in fp32
};

Sparse24Weight sparse24_weight(int64_t N, int64_t K, at::ScalarType type) {
  const Tensor weight = at::randint(-8, 9, {N, K}, at::kFloat).to(type);
  const auto [values, bitmask] = sparse24_compress(weight, sparse24_prune(weight));
  return {values, bitmask, at::ones({N}) / 8, sparse24_decompress(values, bitmask, K).to(at::kFloat)};
}

TEST(Sparse24Operators, AgreeWithDense) {
  for (const at::ScalarType type : value_types) {
    for (const int64_t K : {64, 33}) {
      const Tensor weight = at::randint(-8, 9, {9, K}, at::kFloat).to(type);
      const Tensor mask = sparse24_prune(weight);
      EXPECT_EQ(mask.scalar_type(), at::kBool);
      const auto [values, bitmask] = sparse24_compress(weight, mask);
      EXPECT_EQ(values.sizes(), (at::IntArrayRef{9, (K + 3) / 4 * 2}));
      EXPECT_EQ(bitmask.sizes(), (at::IntArrayRef{9, (K + 7) / 8}));
      const Tensor pruned = sparse24_decompress(values, bitmask, K);
      EXPECT_EQ(pruned.scalar_type(), type);
      EXPECT_TRUE(at::equal(pruned.to(at::kFloat), weight.to(at::kFloat) * mask));
      EXPECT_TRUE(at::equal(std::get<0>(sparse24_compress(pruned)).to(at::kFloat), values.to(at::kFloat)));

      // Small integers and a scale that is a power of two: every sum is exact.
      const Tensor x = at::randint(-8, 9, {2, 3, K}, at::kFloat), bias = at::randint(-8, 9, {9}, at::kFloat),
                   scale = at::ones({9}) / 8;
      const Tensor dense = at::linear(x, pruned.to(at::kFloat) / 8, bias);
      EXPECT_TRUE(at::equal(sparse24_mm(x, values, bitmask, scale, bias), dense));
      if (type == at::kChar || type == at::kFloat8_e4m3fn) {
        const Tensor rounded = sparse24_dynamic_mm(x, values, bitmask, scale, bias);
        EXPECT_LE(((rounded - dense).norm() / dense.norm()).item<double>(), 0.05);
      } else {
        EXPECT_TRUE(at::equal(sparse24_mm(x, values, bitmask), at::linear(x, pruned.to(at::kFloat))));
      }
    }
  }
}

TEST(Sparse24Operators, AnyStridesGiveTheSameBits) {
  const Sparse24Weight w = sparse24_weight(9, 70, at::kChar);
  const Tensor x = at::randn({4, 70});
  const Tensor y = sparse24_mm(x, w.values, w.bitmask, w.scale), z = sparse24_dynamic_mm(x, w.values, w.bitmask, w.scale);
  const Tensor dense = sparse24_decompress(w.values, w.bitmask, 70);
  for (const Tensor& values : other_layouts(w.values)) {
    for (const Tensor& bitmask : other_layouts(w.bitmask)) {
      for (const Tensor& scale : other_layouts(w.scale)) {
        EXPECT_TRUE(at::equal(sparse24_mm(x, values, bitmask, scale), y));
        EXPECT_TRUE(at::equal(sparse24_dynamic_mm(x, values, bitmask, scale), z));
      }
      EXPECT_TRUE(at::equal(sparse24_decompress(values, bitmask, 70), dense));
    }
  }
  for (const Tensor& layout : other_layouts(dense)) {
    const Tensor mask = sparse24_prune(layout);
    EXPECT_TRUE(at::equal(mask, sparse24_prune(dense)));
    for (const Tensor& mask_layout : other_layouts(mask)) {
      EXPECT_TRUE(at::equal(std::get<0>(sparse24_compress(layout, mask_layout)), w.values));
    }
  }
}

TEST(Sparse24Operators, EmptySizes) {
  for (const at::ScalarType type : value_types) {
    const Sparse24Weight w = sparse24_weight(6, 70, type), no_columns = sparse24_weight(6, 0, type);
    EXPECT_EQ(sparse24_mm(at::zeros({0, 70}), w.values, w.bitmask, w.scale).sizes(), (at::IntArrayRef{0, 6}));
    const Tensor bias = at::randn({6});
    EXPECT_TRUE(at::equal(sparse24_mm(at::zeros({3, 0}), no_columns.values, no_columns.bitmask, no_columns.scale, bias),
                          bias.expand({3, 6})));
    EXPECT_EQ(sparse24_weight(0, 70, type).dense.sizes(), (at::IntArrayRef{0, 70}));
  }
}

TEST(Fp8Operators, AgreeWithDense) {
  for (const at::ScalarType type : {at::kFloat8_e4m3fn, at::kFloat8_e5m2}) {
    const at::ScalarType other = type == at::kFloat8_e5m2 ? at::kFloat8_e4m3fn : at::kFloat8_e5m2;
    const Tensor weight = at::randn({140, 150}), x = at::randn({2, 3, 150}), bias = at::randn({140});
    const std::vector<std::pair<const char*, std::vector<int64_t>>> granularities = {
        {"tensor", {}}, {"row", {140}}, {"block", {2, 2}}, {"group", {140, 2}}};
    for (const auto& [granularity, scale_shape] : granularities) {
      const auto [codes, scale] = fp8_quantize(weight, type, granularity);
      EXPECT_EQ(codes.scalar_type(), type);
      EXPECT_EQ(codes.sizes(), weight.sizes());
      EXPECT_EQ(scale.sizes(), at::IntArrayRef(scale_shape));
      const Tensor w = fp8_dequantize(codes, scale);
      auto error = [](const Tensor& y, const Tensor& dense) {
        EXPECT_EQ(y.sizes(), dense.sizes());
        return ((y - dense).norm() / dense.norm()).item<double>();
      };
      // Half a unit in the last of 3 or 2 bits after the point, of every element.
      const double roundoff = type == at::kFloat8_e5m2 ? 0x1p-3 : 0x1p-4;
      EXPECT_LE(error(w, weight), roundoff);
      const Tensor dense = at::linear(x, w, bias);
      EXPECT_LE(error(fp8_mm(x, codes, scale, bias), dense), 1e-6);
      EXPECT_LE(error(fp8_dynamic_mm(x, codes, scale, bias), dense), roundoff);

      const auto [a, a_scale] = fp8_quantize(x.view({6, 150}), other, granularity);
      const Tensor expected = at::linear(fp8_dequantize(a, a_scale), w, bias);
      EXPECT_LE(error(fp8_scaled_mm(a, codes, a_scale, scale, bias, at::kFloat), expected), 1e-6);
      EXPECT_EQ(fp8_scaled_mm(a, codes, a_scale, scale).scalar_type(), at::kBFloat16);
    }
  }
}

TEST(Fp8Operators, AnyStridesGiveTheSameBits) {
  const auto [codes, scale] = fp8_quantize(at::randn({9, 150}), at::kFloat8_e4m3fn, "group");
  const Tensor x = at::randn({4, 150});
  const auto [a, a_scale] = fp8_quantize(x);
  const Tensor w = fp8_dequantize(codes, scale), y = fp8_mm(x, codes, scale), z = fp8_dynamic_mm(x, codes, scale),
               s = fp8_scaled_mm(a, codes, a_scale, scale);
  for (const Tensor& codes_layout : other_layouts(codes)) {
    for (const Tensor& scale_layout : other_layouts(scale)) {
      EXPECT_TRUE(at::equal(fp8_dequantize(codes_layout, scale_layout), w));
      EXPECT_TRUE(at::equal(fp8_mm(x, codes_layout, scale_layout), y));
      EXPECT_TRUE(at::equal(fp8_dynamic_mm(x, codes_layout, scale_layout), z));
      EXPECT_TRUE(at::equal(fp8_scaled_mm(a, codes_layout, a_scale, scale_layout), s));
    }
  }
}

TEST(Fp8Operators, EmptySizes) {
  const Tensor codes = at::zeros({6, 0}).to(at::kFloat8_e5m2), bias = at::randn({6});
  for (const Tensor& scale : {at::zeros({}), at::zeros({6}), at::zeros({1, 0}), at::zeros({6, 0})}) {
    EXPECT_TRUE(at::equal(fp8_mm(at::zeros({3, 0}), codes, scale, bias), bias.expand({3, 6})));
    EXPECT_TRUE(at::equal(fp8_scaled_mm(codes, codes, scale, scale, bias, at::kFloat), bias.expand({6, 6})));
    EXPECT_EQ(fp8_dequantize(codes, scale).sizes(), (at::IntArrayRef{6, 0}));
  }
  const auto [no_codes, scale] = fp8_quantize(at::zeros({0, 70}));
  EXPECT_EQ(fp8_mm(at::zeros({2, 70}), no_codes, scale).sizes(), (at::IntArrayRef{2, 0}));
}

// ---- errors ----

struct BadCall {
  std::string error;  // after "{operator}: "
  std::function<void(Arguments&)> change;
};

TEST(Errors, Products) {
  const std::vector<BadCall> bad_calls = {
      {"x must be float32, float16 or bfloat16, but got int64", [](Arguments& a) { a.x = a.x.to(at::kLong); }},
      {"x must be float32, float16 or bfloat16, but got float64", [](Arguments& a) { a.x = a.x.to(at::kDouble); }},
      {"x must be float32, float16 or bfloat16, but got complex64", [](Arguments& a) { a.x = a.x.to(at::kComplexFloat); }},
      {"x must be float32, float16 or bfloat16, but got bool", [](Arguments& a) { a.x = a.x.to(at::kBool); }},
      {"x must be float32, float16 or bfloat16, but got float8_e4m3fn", [](Arguments& a) { a.x = a.x.to(at::kFloat8_e4m3fn); }},
      {"x must have at least 1 dimension, but got a 0-dimensional tensor", [](Arguments& a) { a.x = at::ones({}); }},
      {"group_size must be at least 1, but got 0", [](Arguments& a) { a.group_size = 0; }},
      {"group_size must be at least 1, but got -1", [](Arguments& a) { a.group_size = -1; }},
      {"group_size must be at least 1, but got -9223372036854775808", [](Arguments& a) { a.group_size = INT64_MIN; }},
      {"weight_packed must be uint8, but got float32", [](Arguments& a) { a.weight_packed = a.weight_packed.to(at::kFloat); }},
      {"weight_packed must be uint8, but got int8", [](Arguments& a) { a.weight_packed = a.weight_packed.to(at::kChar); }},
      {"weight_packed must be [N, ceil(K / 2)], but got [210]",
       [](Arguments& a) { a.weight_packed = a.weight_packed.view({210}); }},
      {"weight_packed must be [N, ceil(K / 2)], but got []",
       [](Arguments& a) { a.weight_packed = a.weight_packed.view({210}).select(0, 0); }},
      {"weight_packed must be [N, ceil(K / 2)], but got [1, 6, 35]",
       [](Arguments& a) { a.weight_packed = a.weight_packed.unsqueeze(0); }},
      {"weight_packed must be [N, ceil(K / 2)] = [6, 35], but got [6, 34]",
       [](Arguments& a) { a.weight_packed = a.weight_packed.narrow(1, 0, 34); }},
      {"weight_packed must be [N, ceil(K / 2)] = [6, 36], but got [6, 35]",
       [](Arguments& a) {
         a.x = at::ones({5, 71});
       }},
      {"weight_packed must be [N, ceil(K / 2)] = [6, 0], but got [6, 35]",
       [](Arguments& a) {
         a.x = at::ones({5, 0});
       }},
      {"weight_scale must be float32, float16 or bfloat16, but got float64",
       [](Arguments& a) { a.weight_scale = a.weight_scale.to(at::kDouble); }},
      {"weight_scale must be [N, ceil(K / group_size)] = [6, 3], but got [6, 2]",
       [](Arguments& a) { a.weight_scale = a.weight_scale.narrow(1, 0, 2); }},
      {"weight_scale must be [N, ceil(K / group_size)] = [6, 3], but got [5, 3]",
       [](Arguments& a) { a.weight_scale = a.weight_scale.narrow(0, 0, 5); }},
      {"weight_scale must be [N, ceil(K / group_size)] = [6, 3], but got [18]",
       [](Arguments& a) { a.weight_scale = a.weight_scale.view({18}); }},
      {"weight_scale must be [N, ceil(K / group_size)] = [6, 3], but got []",
       [](Arguments& a) { a.weight_scale = at::ones({}); }},
      {"weight_scale must be [N, ceil(K / group_size)] = [6, 5], but got [6, 3]", [](Arguments& a) { a.group_size = 16; }},
      {"weight_scale must be [N, ceil(K / group_size)] = [6, 1], but got [6, 3]", [](Arguments& a) { a.group_size = INT64_MAX; }},
      {"weight_zero_point must be float32, float16 or bfloat16, but got int32",
       [](Arguments& a) { a.weight_zero_point = a.weight_zero_point->to(at::kInt); }},
      {"weight_zero_point must be [N, ceil(K / group_size)] = [6, 3], but got [6, 1]",
       [](Arguments& a) { a.weight_zero_point = a.weight_zero_point->narrow(1, 0, 1); }},
      {"weight_zero_point must be [N, ceil(K / group_size)] = [6, 3], but got []",
       [](Arguments& a) { a.weight_zero_point = at::ones({}); }},
      {"bias must be float32, float16 or bfloat16, but got uint8", [](Arguments& a) { a.bias = a.bias->to(at::kByte); }},
      {"bias must be [N] = [6], but got [5]", [](Arguments& a) { a.bias = a.bias->narrow(0, 0, 5); }},
      {"bias must be [N] = [6], but got [1, 6]", [](Arguments& a) { a.bias = a.bias->unsqueeze(0); }},
      {"bias must be [N] = [6], but got []", [](Arguments& a) { a.bias = at::ones({}); }},
      // What is wrong is found where nothing is to be computed, too,
      {"bias must be [N] = [6], but got [7]",
       [](Arguments& a) {
         a.x = at::ones({0, 70}), a.bias = at::ones({7});
       }},
      // and what comes first in the order of the checks is named.
      {"x must be float32, float16 or bfloat16, but got int32",
       [](Arguments& a) { a.x = at::ones({}, at::kInt), a.group_size = 0; }},
      {"group_size must be at least 1, but got 0",
       [](Arguments& a) { a.group_size = 0, a.weight_packed = at::ones({3}), a.bias = at::ones({9}); }},
      {"weight_packed must be uint8, but got float32",
       [](Arguments& a) { a.weight_packed = at::ones({3}), a.weight_scale = at::ones({3}); }},
      {"weight_scale must be [N, ceil(K / group_size)] = [6, 3], but got [3]",
       [](Arguments& a) { a.weight_scale = at::ones({3}), a.bias = at::ones({9}); }},
  };
  for (const NamedMm& mm : products) {
    ASSERT_EQ(error_of([&] { call(mm.call, legal_arguments()); }), "no error");
    for (const BadCall& bad : bad_calls) {
      Arguments a = legal_arguments();
      bad.change(a);
      EXPECT_EQ(error_of([&] { call(mm.call, a); }), std::string(mm.name) + ": " + bad.error);
    }
  }
}

TEST(Errors, Dequantize) {
  struct Call {
    Tensor packed, scale;
    OptionalTensor zero_point;
    int64_t group_size = 32, in_features = 70;
    std::optional<at::ScalarType> dtype = std::nullopt;
  };
  struct Bad {
    const char* error;
    std::function<void(Call&)> change;
  };
  const std::vector<Bad> bad_calls = {
      {"group_size must be at least 1, but got 0", [](Call& c) { c.group_size = 0; }},
      {"in_features must be at least 0, but got -1", [](Call& c) { c.in_features = -1; }},
      {"weight_packed must be uint8, but got int32", [](Call& c) { c.packed = c.packed.to(at::kInt); }},
      {"weight_packed must be [N, ceil(in_features / 2)], but got [210]", [](Call& c) { c.packed = c.packed.view({210}); }},
      {"weight_packed must be [N, ceil(in_features / 2)] = [6, 36], but got [6, 35]", [](Call& c) { c.in_features = 71; }},
      {"weight_packed must be [N, ceil(in_features / 2)] = [6, 4611686018427387904], but got [6, 35]",
       [](Call& c) { c.in_features = INT64_MAX; }},
      {"weight_scale must be float32, float16 or bfloat16, but got int64", [](Call& c) { c.scale = c.scale.to(at::kLong); }},
      {"weight_scale must be [N, ceil(in_features / group_size)] = [6, 3], but got [6, 1]",
       [](Call& c) { c.scale = c.scale.narrow(1, 0, 1); }},
      {"weight_zero_point must be float32, float16 or bfloat16, but got int64",
       [](Call& c) { c.zero_point = c.zero_point->to(at::kLong); }},
      {"weight_zero_point must be [N, ceil(in_features / group_size)] = [6, 3], but got [3]",
       [](Call& c) { c.zero_point = at::ones({3}); }},
      {"dtype must be float32, float16 or bfloat16, but got int8", [](Call& c) { c.dtype = at::kChar; }},
      {"dtype must be float32, float16 or bfloat16, but got float64", [](Call& c) { c.dtype = at::kDouble; }},
      {"group_size must be at least 1, but got -3", [](Call& c) { c.group_size = -3, c.in_features = -1, c.dtype = at::kChar; }},
  };
  for (const Bad& bad : bad_calls) {
    const Arguments a = legal_arguments();
    Call c{a.weight_packed, a.weight_scale, a.weight_zero_point};
    bad.change(c);
    EXPECT_EQ(error_of([&] { int4_dequantize(c.packed, c.scale, c.zero_point, c.group_size, c.in_features, c.dtype); }),
              std::string("int4_dequantize: ") + bad.error);
  }
}

TEST(Errors, Quantize) {
  EXPECT_EQ(error_of([] {
              int4_quantize(at::ones({2, 4}, at::kDouble), 32);
            }),
            "int4_quantize: weight must be float32, float16 or bfloat16, but got float64");
  EXPECT_EQ(error_of([] { int4_quantize(at::ones({4096}), 32); }), "int4_quantize: weight must be [N, K], but got [4096]");
  EXPECT_EQ(error_of([] { int4_quantize(at::ones({}), 32); }), "int4_quantize: weight must be [N, K], but got []");
  EXPECT_EQ(error_of([] { int4_quantize(at::ones({1, 2, 3}), 32); }), "int4_quantize: weight must be [N, K], but got [1, 2, 3]");
  EXPECT_EQ(error_of([] { int4_quantize(at::ones({2, 4}), 0); }), "int4_quantize: group_size must be at least 1, but got 0");
  EXPECT_EQ(error_of([] { int4_quantize(at::ones({4}, at::kInt), 0); }),
            "int4_quantize: weight must be float32, float16 or bfloat16, but got int32");
}

TEST(Errors, Nf4) {
  struct Call {
    Nf4Weight weight;
    Tensor x = at::ones({3, 70}), out = at::ones({8, 70});
    OptionalTensor bias = at::ones({8});
    int64_t features = 8;
    std::vector<int64_t> shape = {8, 70};
  };
  struct Bad {
    const char* op;
    std::string error;
    std::function<void(Call&)> change;
    bool doubly = false;
  };
  const std::string bytes = "weight_packed must be [ceil(out_features * K / 2)";
  const std::vector<Bad> bad_calls = {
      {"nf4_mm", "x must be float32, float16 or bfloat16, but got int64", [](Call& c) { c.x = c.x.to(at::kLong); }},
      {"nf4_mm", "x must have at least 1 dimension, but got a 0-dimensional tensor", [](Call& c) { c.x = at::ones({}); }},
      {"nf4_mm", "out_features must be at least 0, but got -1", [](Call& c) { c.features = -1; }},
      {"nf4_mm", "out_features must be at most 131762457669353940, but got 9223372036854775807",
       [](Call& c) { c.features = INT64_MAX; }},
      {"nf4_mm", "block_size must be a power of two of at least 32, but got 16", [](Call& c) { c.weight.block_size = 16; }},
      {"nf4_mm", "block_size must be a power of two of at least 32, but got 96", [](Call& c) { c.weight.block_size = 96; }},
      {"nf4_mm", "block_size must be a power of two of at least 32, but got -9223372036854775808",
       [](Call& c) { c.weight.block_size = INT64_MIN; }},
      {"nf4_mm", "nested_block_size must be at least 1, but got 0", [](Call& c) { c.weight.nested_block_size = 0; }},
      {"nf4_mm", "weight_packed must be uint8, but got int8", [](Call& c) { c.weight.packed = c.weight.packed.to(at::kChar); }},
      {"nf4_mm", bytes + "] = [280], but got [8, 35]",
       [](Call& c) {
         c.weight.packed = c.weight.packed.view({8, 35});
       }},
      {"nf4_mm", bytes + "] = [315], but got [280]", [](Call& c) { c.features = 9; }},
      {"nf4_mm", bytes + ", 1] = [284, 1], but got [280, 1]",
       [](Call& c) {
         c.x = at::ones({3, 71}), c.weight.packed = c.weight.packed.view({280, 1});
       }},
      {"nf4_mm", "absmax must be float32, float16, bfloat16 or uint8, but got float64",
       [](Call& c) { c.weight.absmax = c.weight.absmax.to(at::kDouble); }},
      {"nf4_mm", "absmax must be [ceil(out_features * K / block_size)] = [9], but got [8]",
       [](Call& c) { c.weight.absmax = c.weight.absmax.narrow(0, 0, 8); }},
      {"nf4_mm", "absmax must be [ceil(out_features * K / block_size)] = [1], but got [9]",
       [](Call& c) { c.weight.block_size = int64_t{1} << 62; }},
      {"nf4_mm", "absmax_code must be None unless absmax is uint8, but got a tensor",
       [](Call& c) { c.weight.absmax_code = at::ones({256}); }},
      {"nf4_mm", "absmax_code must be given with a uint8 absmax, but got None",
       [](Call& c) { c.weight.absmax = c.weight.absmax.to(at::kByte); }},
      {"nf4_mm", "nested_absmax must be given with a uint8 absmax, but got None", [](Call& c) { c.weight.nested_absmax = {}; },
       true},
      {"nf4_mm", "absmax_code must be [256] = [256], but got [16]", [](Call& c) { c.weight.absmax_code = at::ones({16}); }, true},
      {"nf4_mm", "nested_absmax must be float32, but got float16",
       [](Call& c) { c.weight.nested_absmax = at::ones({3}, at::kHalf); }, true},
      {"nf4_mm", "nested_absmax must be [ceil(blocks / nested_block_size)] = [1], but got [3]",
       [](Call& c) { c.weight.nested_block_size = INT64_MAX; }, true},
      {"nf4_mm", "absmax_offset must be [] or [1], but got [2]", [](Call& c) { c.weight.absmax_offset = at::ones({2}); }, true},
      {"nf4_mm", "bias must be [N] = [8], but got [7]", [](Call& c) { c.bias = at::ones({7}); }},
      {"nf4_mm_backward", "grad_output must be float32, float16 or bfloat16, but got float64",
       [](Call& c) { c.x = c.x.to(at::kDouble); }},
      {"nf4_mm_backward", "in_features must be at least 0, but got -8", [](Call& c) { c.features = -8; }},
      {"nf4_mm_backward", "weight_packed must be [ceil(N * in_features / 2)] = [315], but got [280]",
       [](Call& c) { c.features = 9; }},
      {"nf4_dequantize", "shape must have sizes of at least 0, but got [8, -1]",
       [](Call& c) {
         c.shape = {8, -1};
       }},
      {"nf4_dequantize", "shape must have at most 9223372036854775807 elements, but got [4294967296, 2147483648]",
       [](Call& c) {
         c.shape = {int64_t{1} << 32, int64_t{1} << 31};
       }},
      {"nf4_dequantize", "weight_packed must be [ceil(prod(shape) / 2)] = [1], but got [280]", [](Call& c) { c.shape = {}; }},
      {"nf4_dequantize", "out must be float32, float16 or bfloat16, but got int32", [](Call& c) { c.out = c.out.to(at::kInt); }},
      {"nf4_dequantize", "out must be shape = [8, 70], but got [70, 8]", [](Call& c) { c.out = c.out.t(); }},
      {"nf4_dequantize", "out must have memory for each element, but got an expanded tensor",
       [](Call& c) {
         c.out = at::ones({8, 1}).expand({8, 70});
       }},
  };
  const Nf4Weight plain = quantized(at::ones({8, 70}), false, 64, 4), doubly = quantized(at::ones({8, 70}), true, 64, 4);
  auto call_op = [](const std::string& op, const Call& c) {
    if (op == "nf4_mm") call_mm(c.x, c.weight, c.features, c.bias);
    if (op == "nf4_mm_backward") call_backward(c.x, c.weight, c.features);
    if (op == "nf4_dequantize") call_dequantize_out(c.weight, c.shape, c.out);
  };
  ASSERT_EQ(error_of([&] { call_op("nf4_mm", {plain}); }), "no error");
  ASSERT_EQ(error_of([&] { call_op("nf4_mm", {doubly}); }), "no error");
  ASSERT_EQ(error_of([&] { call_op("nf4_mm_backward", {doubly}); }), "no error");
  ASSERT_EQ(error_of([&] { call_op("nf4_dequantize", {doubly}); }), "no error");
  for (const Bad& bad : bad_calls) {
    Call c{bad.doubly ? doubly : plain};
    bad.change(c);
    EXPECT_EQ(error_of([&] { call_op(bad.op, c); }), bad.op + (": " + bad.error));
  }
  EXPECT_EQ(error_of([] { nf4_dequantize(at::ones({2}, at::kByte), at::ones({1}), {3}, 64, at::kInt); }),
            "nf4_dequantize: dtype must be float32, float16 or bfloat16, but got int32");
  EXPECT_EQ(error_of([] { nf4_quantize(at::ones({3}, at::kInt)); }),
            "nf4_quantize: weight must be float32, float16 or bfloat16, but got int32");
  EXPECT_EQ(error_of([] { nf4_quantize(at::ones({3}), 0); }),
            "nf4_quantize: block_size must be a power of two of at least 32, but got 0");
  EXPECT_EQ(error_of([] {
              nf4_quantize_absmax(at::ones({3, 1}));
            }),
            "nf4_quantize_absmax: absmax must be [blocks], but got [3, 1]");
  EXPECT_EQ(error_of([] { nf4_quantize_absmax(at::ones({3}), 0); }),
            "nf4_quantize_absmax: nested_block_size must be at least 1, but got 0");
}

TEST(Errors, Sparse24) {
  const Sparse24Weight w = sparse24_weight(8, 70, at::kChar);
  const Tensor x = at::ones({3, 70}), floats = w.dense.narrow(1, 0, 36), one = at::ones({1});
  const std::string all_types = " must be float32, float16, bfloat16, int8 or float8_e4m3fn, but got ";
  const std::string values = "values must be [N, 2 * ceil(K / 4)]", bitmask = "bitmask must be [N, ceil(K / 8)]";
  using Mm = std::function<Tensor(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const OptionalTensor&)>;
  const std::vector<std::pair<std::string, Mm>> both = {{"sparse24_mm: ", sparse24_mm},
                                                        {"sparse24_dynamic_mm: ", sparse24_dynamic_mm}};
  for (const auto& [op, mm] : both) {
    auto error = [&, &mm = mm](const Tensor& v, const Tensor& b, const Tensor& s, const OptionalTensor& bias = std::nullopt) {
      return error_of([&] { mm(x, v, b, s, bias); });
    };
    ASSERT_EQ(error(w.values, w.bitmask, w.scale), "no error");
    EXPECT_EQ(error_of([&, &mm = mm] { mm(x.to(at::kFloat8_e4m3fn), one, one, one, {}); }),
              op + "x must be float32, float16 or bfloat16, but got float8_e4m3fn");
    EXPECT_EQ(error_of([&, &mm = mm] { mm(at::ones({}), one, one, one, {}); }),
              op + "x must have at least 1 dimension, but got a 0-dimensional tensor");
    EXPECT_EQ(error(one.to(at::kChar), one, one), op + values + ", but got [1]");
    EXPECT_EQ(error(w.values.narrow(1, 0, 34), one, one), op + values + " = [8, 36], but got [8, 34]");
    EXPECT_EQ(error(w.values, one, one), op + "bitmask must be uint8, but got float32");
    EXPECT_EQ(error(w.values, w.bitmask.narrow(1, 0, 8), one), op + bitmask + " = [8, 9], but got [8, 8]");
    EXPECT_EQ(error(w.values, w.bitmask, one.to(at::kInt)),
              op + "weight_scale must be float32, float16 or bfloat16, but got int32");
    EXPECT_EQ(error(w.values, w.bitmask, one, one), op + "weight_scale must be [N] = [8], but got [1]");
    EXPECT_EQ(error(w.values, w.bitmask, w.scale, one), op + "bias must be [N] = [8], but got [1]");
    const Tensor too_many = w.bitmask.clone();
    too_many.select(0, 5).select(0, 8).fill_(0x33);  // bits 4 and 5 are those of the last two columns
    EXPECT_EQ(error(w.values, too_many, w.scale), "no error");
    too_many.select(0, 5).select(0, 8).fill_(0x37);
    const std::string end =
        "bitmask must keep at most two of each four elements of a row, but row 5 keeps more of the elements 64 to 67";
    EXPECT_EQ(error(w.values, too_many, w.scale), op + end);
    EXPECT_EQ(error_of([&] { sparse24_decompress(w.values, too_many, 70); }), "sparse24_decompress: " + end);
  }
  EXPECT_EQ(error_of([&] { sparse24_mm(x, floats.to(at::kInt), one, one); }), "sparse24_mm: values" + all_types + "int32");
  EXPECT_EQ(error_of([&] { sparse24_mm(x, w.values, w.bitmask); }),
            "sparse24_mm: weight_scale must be given with int8 values, but got None");
  EXPECT_EQ(error_of([&] { sparse24_dynamic_mm(x, floats, w.bitmask, w.scale); }),
            "sparse24_dynamic_mm: values must be int8 or float8_e4m3fn, but got float32");
  EXPECT_EQ(error_of([&] { sparse24_decompress(w.values, w.bitmask, -1); }),
            "sparse24_decompress: in_features must be at least 0, but got -1");
  EXPECT_EQ(error_of([&] { sparse24_decompress(w.values, w.bitmask, 73); }),
            "sparse24_decompress: " + values + " = [8, 38], but got [8, 36]");
  EXPECT_EQ(error_of([&] { sparse24_decompress(w.values, w.bitmask, INT64_MAX); }),
            "sparse24_decompress: " + values + " = [8, 4611686018427387904], but got [8, 36]");
  EXPECT_EQ(error_of([&] { sparse24_decompress(floats.to(at::kDouble), w.bitmask, 70); }),
            "sparse24_decompress: values" + all_types + "float64");
  EXPECT_EQ(error_of([&] { sparse24_prune(one); }), "sparse24_prune: weight must be [N, K], but got [1]");
  EXPECT_EQ(error_of([&] { sparse24_prune(one.to(at::kDouble)); }), "sparse24_prune: weight" + all_types + "float64");
  EXPECT_EQ(error_of([&] { sparse24_compress(one.to(at::kBool)); }), "sparse24_compress: weight" + all_types + "bool");
  EXPECT_EQ(error_of([&] { sparse24_compress(x, x); }), "sparse24_compress: mask must be bool, but got float32");
  EXPECT_EQ(error_of([&] { sparse24_compress(x, one.to(at::kBool)); }),
            "sparse24_compress: mask must be [N, K] = [3, 70], but got [1]");
  const std::string end = " must keep at most two of each four elements of a row, but row 0 keeps more of the elements 0 to 3";
  EXPECT_EQ(error_of([&] { sparse24_compress(x); }), "sparse24_compress: weight" + end);
  EXPECT_EQ(error_of([&] { sparse24_compress(x, x.to(at::kBool)); }), "sparse24_compress: mask" + end);
}

TEST(Errors, Fp8) {
  const auto [codes, scale] = fp8_quantize(at::ones({140, 150}), at::kFloat8_e5m2, "block");
  const Tensor x = at::ones({3, 150}), one = at::ones({1}), b = codes, b_scale = scale;
  const std::string floats = " must be float32, float16 or bfloat16, but got ",
                    types = " must be float8_e4m3fn or float8_e5m2, but got ";
  const std::string end = " [140], [2, 2] or [140, 2], but got [1]";
  using Mm = std::function<Tensor(const Tensor&, const Tensor&, const Tensor&, const OptionalTensor&)>;
  const std::vector<std::pair<std::string, Mm>> both = {{"fp8_mm: ", fp8_mm}, {"fp8_dynamic_mm: ", fp8_dynamic_mm}};
  for (const auto& [op, mm] : both) {
    auto error = [&mm = mm](const Tensor& activations, const Tensor& w, const Tensor& s,
                            const OptionalTensor& bias = std::nullopt) { return error_of([&] { mm(activations, w, s, bias); }); };
    ASSERT_EQ(error(x, b, b_scale), "no error");
    EXPECT_EQ(error(b, one, one), op + "x" + floats + "float8_e5m2");
    EXPECT_EQ(error(at::ones({}), one, one), op + "x must have at least 1 dimension, but got a 0-dimensional tensor");
    EXPECT_EQ(error(x, one, one), op + "weight" + types + "float32");
    EXPECT_EQ(error(at::ones({3, 151}), b, one), op + "weight must be [N, K] = [140, 151], but got [140, 150]");
    EXPECT_EQ(error(x, b, one.to(at::kInt)), op + "weight_scale" + floats + "int32");
    EXPECT_EQ(error(x, b, one),
              op + "weight_scale must be [], [N], [ceil(N / 128), ceil(K / 128)] or [N, ceil(K / 128)] = []," + end);
    EXPECT_EQ(error(x, b, b_scale, one), op + "bias must be [N] = [140], but got [1]");
  }
  EXPECT_EQ(error_of([&] { fp8_quantize(one); }), "fp8_quantize: input must be [N, K], but got [1]");
  EXPECT_EQ(error_of([&] { fp8_quantize(b); }), "fp8_quantize: input" + floats + "float8_e5m2");
  EXPECT_EQ(error_of([&] { fp8_quantize(x, at::kHalf); }), "fp8_quantize: dtype" + types + "float16");
  EXPECT_EQ(error_of([&] { fp8_quantize(x, std::nullopt, "column"); }),
            "fp8_quantize: granularity must be tensor, row, block or group, but got column");
  EXPECT_EQ(error_of([&] { fp8_dequantize(x, one); }), "fp8_dequantize: input" + types + "float32");
  EXPECT_EQ(error_of([&] { fp8_dequantize(b, b_scale, at::kFloat8_e5m2); }), "fp8_dequantize: dtype" + floats + "float8_e5m2");
  EXPECT_EQ(error_of([&] { fp8_scaled_mm(b, b, one, b_scale); }),
            "fp8_scaled_mm: scale_a must be [], [M], [ceil(M / 128), ceil(K / 128)] or [M, ceil(K / 128)] = []," + end);
  EXPECT_EQ(error_of([&] { fp8_scaled_mm(b, b.narrow(1, 0, 149), b_scale, b_scale); }),
            "fp8_scaled_mm: b must be [N, K] = [140, 150], but got [140, 149]");
  EXPECT_EQ(error_of([&] { fp8_scaled_mm(b, b, b_scale, b_scale, std::nullopt, at::kDouble); }),
            "fp8_scaled_mm: out_dtype" + floats + "float64");
}

// Tensors without CPU memory: torch's dispatcher finds no kernel for them (python/torchao_ops registers one for meta), so that none gets to ours.
TEST(Errors, TensorsThatAreNotOrdinaryCpuTensors) {
  for (const NamedMm& mm : products) {
    for (int argument = 0; argument < 5; ++argument) {
      for (const bool sparse : {false, true}) {
        Arguments a = legal_arguments();
        auto change = [&](const Tensor& t) { return sparse ? t.to_sparse() : t.to(at::kMeta); };
        if (argument == 0) a.x = change(a.x);
        if (argument == 1) a.weight_packed = change(a.weight_packed);
        if (argument == 2) a.weight_scale = change(a.weight_scale);
        if (argument == 3) a.weight_zero_point = change(*a.weight_zero_point);
        if (argument == 4) a.bias = change(*a.bias);
        EXPECT_NE(error_of([&] { call(mm.call, a); }), "no error")
            << mm.name << " argument " << argument << (sparse ? " sparse" : " meta");
      }
    }
  }
}

// ---- the library in the process ----

std::string library_path() {
  Dl_info info{};
  void* marker = dlsym(RTLD_DEFAULT, "torchao_ops_registered");
  if (marker == nullptr || dladdr(marker, &info) == 0) return "";
  return info.dli_fname;
}

TEST(Library, RegistersOnceWhenLoadedTwice) {
  const std::string original = library_path();
  ASSERT_NE(original, "") << "libtorchao_ops.so is not loaded";
  const std::string copy =
      (std::filesystem::temp_directory_path() / ("libtorchao_ops_copy_" + std::to_string(getpid()) + ".so")).string();
  std::filesystem::copy_file(original, copy);
  testing::internal::CaptureStderr();  // where torch reports an operator that is registered twice
  void* second = dlopen(copy.c_str(), RTLD_NOW | RTLD_LOCAL);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  std::filesystem::remove(copy);
  ASSERT_NE(second, nullptr) << dlerror();
  const int* second_registered = static_cast<const int*>(dlsym(second, "torchao_ops_registered"));
  ASSERT_NE(second_registered, dlsym(RTLD_DEFAULT, "torchao_ops_registered")) << "the copy is the same library";
  EXPECT_EQ(*second_registered, 0);
  EXPECT_EQ(*static_cast<const int*>(dlsym(RTLD_DEFAULT, "torchao_ops_registered")), 1);
  const Arguments a = legal_arguments();
  const Tensor y = call(int4_mm, a);
  EXPECT_TRUE(at::equal(call(int4_mm, a), y));
  dlclose(second);
  EXPECT_TRUE(at::equal(call(int4_mm, a), y)) << "after the copy is gone";
}

// Runs this program again with TORCHAO_OPS_ISA set (the library reads it once) and returns what its call of every operator printed.
std::string output_with_isa(const std::string& isa) {
  const std::string command =
      "TORCHAO_OPS_ISA=" + isa + " '" + std::filesystem::read_symlink("/proc/self/exe").string() + "' --call-operators";
  FILE* pipe = popen(command.c_str(), "r");
  std::string output;
  char chunk[256];
  while (std::fgets(chunk, sizeof(chunk), pipe) != nullptr) output += chunk;
  pclose(pipe);
  return output;
}

void call_operators() {
  const Arguments a = legal_arguments();
  const Nf4Weight nf4{at::ones({64}, at::kByte), at::ones({2}), {}, {}, {}};
  const Tensor fp8 = at::ones({2, 4}).to(at::kFloat8_e4m3fn), scale = at::ones({});
  for (const std::function<void()>& call_one : std::vector<std::function<void()>>{
           [] { capabilities(); },
           [] {
             int4_quantize(at::ones({2, 4}), 2);
           },
           [&] { int4_dequantize(a.weight_packed, a.weight_scale, std::nullopt, 32, 70); }, [&] { call(int4_mm, a); },
           [&] { call(int4_dynamic_mm, a); },
           [] {
             nf4_quantize(at::ones({2, 64}));
           },
           [] { nf4_quantize_absmax(at::ones({2})); },
           [&] {
             call_dequantize(nf4, {2, 64});
           },
           [&] { call_mm(at::ones({64}), nf4, 2); }, [&] { call_backward(at::ones({2}), nf4, 64); },
           [] {
             fp8_quantize(at::ones({2, 4}));
           },
           [&] { fp8_dequantize(fp8, scale); }, [&] { fp8_mm(at::ones({4}), fp8, scale); },
           [&] { fp8_dynamic_mm(at::ones({4}), fp8, scale); }, [&] { fp8_scaled_mm(fp8, fp8, scale, scale); }}) {
    std::printf("%s\n", error_of(call_one).c_str());
  }
  std::printf("%s\n", error_of([] { std::printf("%s\n", capabilities().c_str()); }).c_str());
}

TEST(Library, IsaThatIsNotKnownIsAnErrorOfEveryOperator) {
  const std::string output = output_with_isa("mmx");
  for (const char* op : {"capabilities", "int4_quantize", "int4_dequantize", "int4_mm", "int4_dynamic_mm", "nf4_quantize",
                         "nf4_quantize_absmax", "nf4_dequantize", "nf4_mm", "nf4_mm_backward", "fp8_quantize", "fp8_dequantize",
                         "fp8_mm", "fp8_dynamic_mm", "fp8_scaled_mm"}) {
    EXPECT_NE(
        output.find(std::string(op) + ": the environment variable TORCHAO_OPS_ISA must be scalar, avx2 or avx512, but got mmx\n"),
        std::string::npos)
        << output;
  }
}

TEST(Library, IsaCanBeForced) {
  const std::string output = output_with_isa("scalar");
  std::string expected;
  for (int i = 0; i < 15; ++i) expected += "no error\n";
  EXPECT_EQ(output.find(expected + "{"), 0u) << output;
  EXPECT_NE(output.find("\"isa\": \"scalar\""), std::string::npos) << output;
}

TEST(Library, IsaThatThisCpuLacksIsAnError) {
  const std::string available = capabilities();
  const std::string output = output_with_isa("avx512");
  if (available.find("\"avx512\"") != std::string::npos) {
    EXPECT_NE(output.find("\"isa\": \"avx512\""), std::string::npos) << output;
  } else {
    EXPECT_NE(
        output.find(
            "int4_mm: the environment variable TORCHAO_OPS_ISA must name an instruction set that this CPU has, but got avx512\n"),
        std::string::npos)
        << output;
  }
}

}  // namespace
}  // namespace torchao_ops::test

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "--call-operators") {
    torchao_ops::test::call_operators();
    return 0;
  }
  testing::InitGoogleTest(&argc, argv);
  at::manual_seed(1);
  return RUN_ALL_TESTS();
}
