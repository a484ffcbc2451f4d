#include "tests/cpp/cuda_kernels.h"

#include <cstring>

namespace torchao_ops::test {
namespace {

using Role = DeviceRows::Role;

// `rows` rows of `columns` elements, `stride` elements apart. Field is a pointer to anything, const or not.
template <class Field>
Operand matrix(Field& field, Role role, int64_t rows, int64_t columns, int64_t stride, int64_t element_bytes) {
  void* host;
  static_assert(sizeof(field) == sizeof(host), "a pointer");
  std::memcpy(&host, &field, sizeof(host));
  return {&field, {host, rows, columns * element_bytes, stride * element_bytes}, role};
}

template <class Field>
Operand array(Field& field, Role role, int64_t elements, int64_t element_bytes) {
  return matrix(field, role, 1, elements, elements, element_bytes);
}

std::vector<Operand> operands_of(fp8::Weight& w) {
  const int64_t blocks = ceil_div(w.N, w.row_block), G = group_count(w.K, w.group_size), bytes = size_of(w.scale_type);
  // Scales of a row or of a column are adjacent.
  return {matrix(w.codes, Role::input, w.N, w.K, w.row_stride, 1),
          w.scale_column_stride == 1 ? matrix(w.scale, Role::input, blocks, G, w.scale_row_stride, bytes)
                                     : matrix(w.scale, Role::input, G, blocks, w.scale_column_stride, bytes)};
}

std::vector<Operand> operands_of(int4::Weight& w) {
  const int64_t G = group_count(w.K, w.group_size);
  return {matrix(w.packed, Role::input, w.N, int4::packed_columns(w.K), w.packed_row_stride, 1),
          matrix(w.scale, Role::input, w.N, G, w.scale_row_stride, size_of(w.scale_type)),
          matrix(w.zero_point, Role::input, w.N, G, w.zero_point_row_stride, size_of(w.zero_point_type))};
}

std::vector<Operand> operands_of(int8::Weight& w) {
  return {matrix(w.codes, Role::input, w.N, w.K, w.row_stride, 1),
          matrix(w.scale, Role::input, w.N, group_count(w.K, w.group_size), w.scale_row_stride, size_of(w.scale_type))};
}

std::vector<Operand> operands_of(nf4::Weight& w) {
  const int64_t blocks = ceil_div(w.N * w.K, w.group_size);
  std::vector<Operand> operands{array(w.packed, Role::input, nf4::packed_bytes(w.N * w.K), 1)};
  if (w.absmax_code == nullptr) {
    operands.push_back(array(w.absmax, Role::input, blocks, size_of(w.absmax_type)));
    return operands;
  }
  operands.push_back(array(w.absmax, Role::input, blocks, 1));
  operands.push_back(array(w.absmax_code, Role::input, 256, sizeof(float)));
  operands.push_back(array(w.nested_absmax, Role::input, ceil_div(blocks, w.nested_block_size), sizeof(float)));
  operands.push_back(array(w.absmax_offset, Role::input, 1, sizeof(float)));
  return operands;
}

std::vector<Operand> operands_of(sparse24::Weight& w) {
  return {matrix(w.values, Role::input, w.N, sparse24::value_columns(w.K), w.value_row_stride, sparse24::size_of(w.value_type)),
          matrix(w.bitmask, Role::input, w.N, sparse24::bitmask_columns(w.K), w.bitmask_row_stride, 1),
          array(w.scale, Role::input, w.N, size_of(w.scale_type))};
}

// Of x [M, x_columns] and y [M, y_columns].
template <class Args>
std::vector<Operand> operands_of_product(Args& args, int64_t x_columns, int64_t y_columns) {
  MmArgs& mm = args.mm;
  std::vector<Operand> operands = operands_of(args.weight);
  operands.push_back(matrix(mm.x, Role::input, mm.M, x_columns, mm.x_row_stride, size_of(mm.x_type)));
  operands.push_back(array(mm.bias, Role::input, y_columns, size_of(mm.bias_type)));
  operands.push_back(array(mm.y, Role::output, mm.M * y_columns, size_of(mm.x_type)));
  return operands;
}
template <class Args>
std::vector<Operand> operands_of_product(Args& args) {
  return operands_of_product(args, args.weight.K, args.weight.N);
}

template <class Args>
std::vector<Operand> operands_of_dequantize(Args& args) {
  std::vector<Operand> operands = operands_of(args.weight);
  operands.push_back(array(args.out, Role::output, args.weight.N * args.weight.K, size_of(args.out_type)));
  return operands;
}

}  // namespace

std::vector<Operand> operands_of(Fp8MmArgs& args) { return operands_of_product(args); }
std::vector<Operand> operands_of(Fp8DequantizeArgs& args) { return operands_of_dequantize(args); }
std::vector<Operand> operands_of(Int4MmArgs& args) { return operands_of_product(args); }
std::vector<Operand> operands_of(Int8MmArgs& args) { return operands_of_product(args); }
std::vector<Operand> operands_of(Int4DequantizeArgs& args) { return operands_of_dequantize(args); }
std::vector<Operand> operands_of(Int8DequantizeArgs& args) { return operands_of_dequantize(args); }
std::vector<Operand> operands_of(Nf4MmArgs& args) { return operands_of_product(args); }
std::vector<Operand> operands_of_transposed(Nf4MmArgs& args) { return operands_of_product(args, args.weight.N, args.weight.K); }
std::vector<Operand> operands_of(Nf4DequantizeArgs& args) { return operands_of_dequantize(args); }

std::vector<Operand> operands_of(Fp8ScaledMmArgs& args) {
  std::vector<Operand> operands = operands_of(args.b);
  for (const Operand& operand : operands_of(args.a)) operands.push_back(operand);
  operands.push_back(array(args.bias, Role::input, args.b.N, size_of(args.bias_type)));
  operands.push_back(array(args.y, Role::output, args.a.N * args.b.N, size_of(args.y_type)));
  return operands;
}

std::vector<Operand> operands_of(Fp8QuantizeArgs& args) {
  const int64_t element_bytes = size_of(args.type);
  return {
      matrix(args.input, Role::input, args.N, args.K, args.input_row_stride, element_bytes),
      array(args.codes, Role::output, args.N * args.K, 1),
      array(args.scale, Role::output, ceil_div(args.N, args.row_block) * group_count(args.K, args.group_size), element_bytes)};
}

std::vector<Operand> operands_of(Int4QuantizeArgs& args) {
  const int64_t groups = args.N * group_count(args.K, args.group_size), element_bytes = size_of(args.type);
  return {matrix(args.weight, Role::input, args.N, args.K, args.weight_row_stride, element_bytes),
          array(args.packed, Role::output, args.N * int4::packed_columns(args.K), 1),
          array(args.scale, Role::output, groups, element_bytes), array(args.zero_point, Role::output, groups, element_bytes)};
}

std::vector<Operand> operands_of(Int8QuantizeArgs& args) {
  const int64_t element_bytes = size_of(args.type);
  return {matrix(args.weight, Role::input, args.N, args.K, args.weight_row_stride, element_bytes),
          array(args.codes, Role::output, args.N * args.K, 1),
          array(args.scale, Role::output, args.N * group_count(args.K, args.group_size), element_bytes)};
}

std::vector<Operand> operands_of(Nf4QuantizeArgs& args) {
  return {array(args.weight, Role::input, args.count, size_of(args.type)),
          array(args.packed, Role::output, nf4::packed_bytes(args.count), 1),
          array(args.absmax, Role::output, ceil_div(args.count, args.block_size), sizeof(float))};
}

std::vector<Operand> operands_of(Nf4QuantizeAbsmaxArgs& args) {
  return {array(args.absmax, Role::input, args.count, size_of(args.type)), array(args.codes, Role::output, args.count, 1),
          array(args.absmax_code, Role::output, 256, sizeof(float)),
          array(args.nested_absmax, Role::output, ceil_div(args.count, args.nested_block_size), sizeof(float)),
          array(args.offset, Role::output, 1, sizeof(float))};
}

std::vector<Operand> operands_of(Sparse24PruneArgs& args) {
  return {matrix(args.weight, Role::input, args.N, args.K, args.weight_row_stride, sparse24::size_of(args.type)),
          array(args.mask, Role::output, args.N * args.K, 1)};
}

std::vector<Operand> operands_of(Sparse24CompressArgs& args) {
  const int64_t element_bytes = sparse24::size_of(args.type);
  return {matrix(args.weight, Role::input, args.N, args.K, args.weight_row_stride, element_bytes),
          matrix(args.mask, Role::input, args.N, args.K, args.mask_row_stride, 1),
          array(args.values, Role::output, args.N * sparse24::value_columns(args.K), element_bytes),
          array(args.bitmask, Role::output, args.N * sparse24::bitmask_columns(args.K), 1),
          array(args.violation, Role::output, 1, sizeof(int64_t))};
}

std::vector<Operand> operands_of(Sparse24DecompressArgs& args) {
  std::vector<Operand> operands = operands_of(args.weight);
  operands.push_back(array(args.out, Role::output, args.weight.N * args.weight.K, sparse24::size_of(args.weight.value_type)));
  operands.push_back(array(args.violation, Role::output, 1, sizeof(int64_t)));
  return operands;
}

std::vector<Operand> operands_of(Sparse24MmArgs& args) {
  std::vector<Operand> operands = operands_of_product(args);
  operands.push_back(array(args.violation, Role::output, 1, sizeof(int64_t)));
  return operands;
}

int multiprocessors_for(const Operand& weight, const cuda::Device& device) {
  const int choices[] = {device.multiprocessors, device.multiprocessors / 8 + 1, 1};
  return choices[(weight.host.rows + weight.host.row_bytes) % 3];
}

OnDevice::OnDevice(const std::vector<Operand>& operands, cudaStream_t stream) {
  for (const Operand& operand : operands) {
    operands_.push_back(std::make_unique<DeviceRows>(operand.host, operand.role, stream));
    void* const device = operands_.back()->data();
    std::memcpy(operand.pointer, &device, sizeof(device));
  }
}

void OnDevice::finish() const {
  for (const auto& operand : operands_) operand->finish();
}

}  // namespace torchao_ops::test
