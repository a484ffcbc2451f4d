// y = x @ w.T on tensor cores, for few and medium numbers of rows of x: the weight is read as it lies in memory and becomes an operand in registers.
//
// The weight is the 16-row operand of mma and x the 8-column one, so few rows of x waste little. A block has block_rows() rows of
// the weight, a range of k and block_m() rows of x. Each warp has 32 of the rows and every warps_k-th chunk of 128 k.
//
//   - Weights: each warp copies its chunks to a ring in shared memory (cp.async) stages - 1 chunks ahead of use. Only the warp itself reads
//     them, so the ring needs no barrier of the block, and copies go on while the block waits for other things.
//   - x: a slab of chunks at a time, in the order that Dot asks for, with what weight groups need (scale and offset) as fp32.
//   - Sums: integer or fp32 within a piece of a group, then times the group's scale, in fp32. They are added in an order that depends on K and
//     the split only: chunks of a warp, warps, splits.
//
// Per chunk of 32 rows (2 KiB of int4 codes) and 8 rows of x, shared memory moves 2 KiB in, 2 KiB of codes out and 2 KiB of x out, of the 128 bytes a
// cycle that a multiprocessor has; reading memory at 20 bytes a cycle (an H200's share) leaves it half idle.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "csrc/cuda/device.h"
#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/mm_dot.cuh"
#include "csrc/cuda/mm_finish.cuh"
#include "csrc/cuda/mm_mma.h"
#include "csrc/cuda/ptx.cuh"
#include "csrc/cuda/quantize_activations.h"
#include "csrc/cuda/warp.cuh"
#include "csrc/spec/batch_invariant.h"

namespace torchao_ops::cuda {

template <class Format>
constexpr int chunk_steps = chunk_bytes / (16 * Format::octet_words);
template <class Format>
constexpr int chunk_k = step_k* chunk_steps<Format>;

// Where the scales of the weight come in.
enum class Scaling {
  pieces,              // each piece of a group is summed, then scaled
  pieces_with_offset,  // the same, and the operand lacks an offset (Format::offset)
  whole_row,           // sums of whole rows, scaled at the end: exact where they are integers
};

template <class Format>
struct MmaArgs {
  Product<Format> product;
  const uint8_t*
      x;  // product.mm.x, or x quantized in the workspace: elements of Dot's type, or int8 as quantize_activations leaves it
  int64_t x_row_bytes;
  void* partial;        // [splits][M][N] of fp32 or, for whole rows, int32; or null: there is one split
  int split_chunks;     // a multiple of warps_k
  int slab_chunks;      // a power of two, at least warps_k
  int piece_shift;      // a piece is 1 << piece_shift steps (1, 2 or 4) and lies within a group
  bool copies_16;       // weight rows are aligned to 16 bytes, else to 4
  bool copies_bitmask;  // rows of the bitmask are aligned to what a chunk has of them, else to 4 bytes
};

// A sparse format has a bitmask beside its values: of each row, so many bytes in a chunk. In a stage of the ring they lie behind the 32 rows of values.
template <class Format>
constexpr int chunk_bitmask_bytes = Format::has_bitmask ? chunk_k<Format> / 8 : 0;
template <class Format>
constexpr int stage_bytes = 32 * (chunk_bytes + chunk_bitmask_bytes<Format>);

// Where things lie in a block's shared memory, in bytes.
struct MmaLayout {
  int ring, x, x_row, parameters, parameter_row, total;
};

// A row of x, and a row of parameters, are 16 and 8 bytes longer than they need be, so that the rows that are read together lie in different banks.
template <class Format, class Dot>
TORCHAO_OPS_CONSTEXPR MmaLayout mma_layout(const MmaShape& shape, int m_rows, int slab_chunks, int piece_shift) {
  MmaLayout layout{};
  layout.ring = shape.stages * stage_bytes<Format>;  // of one warp
  layout.x = shape.warps_n * shape.warps_k * layout.ring;
  layout.x_row = slab_chunks * chunk_steps<Format> * 16 * Dot::words + 16;
  layout.parameters = layout.x + m_rows * layout.x_row;
  layout.parameter_row = (shape.block_rows() + 1) * static_cast<int>(sizeof(float2));
  layout.total = layout.parameters + (slab_chunks * chunk_steps<Format> >> piece_shift) * layout.parameter_row;
  return layout;
}

// At the end the same memory holds the sums of all warps: [warps_k][block_m][block_rows + 4], where 4 spreads a warp's stores over all banks.
TORCHAO_OPS_CONSTEXPR int mma_sum_row(const MmaShape& shape) { return shape.block_rows() + 4; }
TORCHAO_OPS_CONSTEXPR int mma_sum_bytes(const MmaShape& shape) {
  return shape.warps_k * shape.block_m() * mma_sum_row(shape) * static_cast<int>(sizeof(float));
}

// Where a 16-byte piece of a chunk of a row lies in shared memory. Two rows of 64 bytes cover the 32 banks.
template <class Format>
__device__ __forceinline__ int permuted(int row, int piece) {
  // Lanes read 4 bytes each of 8 rows: pairs of rows differ. Or half a warp reads 8 bytes each of 4 rows, which are two adjacent pieces: pairs of rows
  // have their pairs of pieces exchanged.
  return Format::octet_words == 1 ? piece ^ (row >> 1 & 3) : piece ^ (row & 2);
}

// The octet that lane t of the four of row g has in a step of row g + 8 * eight, in a stage of a warp's ring.
template <class Format>
__device__ __forceinline__ void read_octet(const uint8_t* stage, int g, int eight, int step, int t,
                                           uint32_t (&octet)[Format::octet_words]) {
  const int byte = 4 * Format::octet_words * (4 * step + t);  // of the chunk
  const uint8_t* place = stage + (8 * eight + g) * chunk_bytes + 16 * permuted<Format>(g, byte / 16) + byte % 16;
  if constexpr (Format::octet_words == 1) {
    octet[0] = *reinterpret_cast<const uint32_t*>(place);
  } else {
    const uint2 words = *reinterpret_cast<const uint2*>(place);
    octet[0] = words.x, octet[1] = words.y;
  }
}

__device__ __forceinline__ int clamped(int bytes, int most) { return bytes < 0 ? 0 : bytes < most ? bytes : most; }

// What a lane copies of each chunk: one piece of four rows, 8 rows apart, so that four lanes together read 64 adjacent bytes.
template <class Format>
class WeightCopies {
 public:
  __device__ __forceinline__ WeightCopies(const MmaArgs<Format>& args, int64_t warp_row, int lane)
      : source_(Format::bytes(args.product.weight) + (warp_row + lane / 4) * Format::row_stride(args.product.weight) +
                16 * (lane % 4)),
        rows_step_(8 * Format::row_stride(args.product.weight)),
        row_left_(static_cast<int>(Format::row_bytes(args.product.weight)) - 16 * (lane % 4)),
        destination_(lane / 4 * chunk_bytes + 16 * permuted<Format>(lane / 4, lane % 4)),
        rows_(rows_below(args.product.weight.N - warp_row - lane / 4)),
        copies_16_(args.copies_16) {
    const int64_t rows = args.product.weight.N - warp_row;
    whole_chunks_ = rows < 32 || !copies_16_ ? 0 : static_cast<int>(Format::row_bytes(args.product.weight) / chunk_bytes);
  }

  // Starts copying a chunk into a stage; what lies beyond the weight becomes zero.
  __device__ __forceinline__ void start(int chunk, uint8_t* stage) const {
    const uint8_t* source = source_ + int64_t{chunk} * chunk_bytes;
    uint8_t* destination = stage + destination_;
    if (chunk < whole_chunks_) {  // the same for all lanes
#pragma unroll
      for (int i = 0; i < 4; ++i) ptx::cp_async_16(destination + 8 * i * chunk_bytes, source + i * rows_step_);
      return;
    }
    const int left = row_left_ - chunk * chunk_bytes;
#pragma unroll 1
    for (int i = 0; i < 4; ++i, source += rows_step_, destination += 8 * chunk_bytes) {
      const int bytes = i < rows_ ? left : 0;  // of no bytes nothing is read, wherever the source may be
      if (copies_16_) {
        ptx::cp_async_16(destination, source, clamped(bytes, 16));
      } else {
#pragma unroll 1
        for (int word = 0; word < 16; word += 4) ptx::cp_async_4(destination + word, source + word, clamped(bytes - word, 4));
      }
    }
  }

 private:
  // How many of the rows 0, 8, 16 and 24 lie below `rows`.
  __device__ __forceinline__ static int rows_below(int64_t rows) {
    return rows <= 0 ? 0 : rows > 24 ? 4 : static_cast<int>(rows + 7) / 8;
  }

  const uint8_t* source_;
  int64_t rows_step_;
  int row_left_, destination_, rows_;
  bool copies_16_;
  int whole_chunks_;
};

// What a lane copies of each chunk of a bitmask: that of one row.
template <class Format>
class BitmaskCopies {
 public:
  __device__ __forceinline__ BitmaskCopies(const MmaArgs<Format>& args, int64_t warp_row, int lane)
      : source_(Format::bitmask(args.product.weight) + (warp_row + lane) * Format::bitmask_row_stride(args.product.weight)),
        row_bytes_(warp_row + lane < args.product.weight.N ? static_cast<int>(ceil_div(args.product.weight.K, 8)) : 0),
        destination_(32 * chunk_bytes + lane * bytes),
        at_once_(args.copies_bitmask) {}

  // As WeightCopies has it.
  __device__ __forceinline__ void start(int chunk, uint8_t* stage) const {
    const uint8_t* source = source_ + int64_t{chunk} * bytes;
    const int left = row_bytes_ - chunk * bytes;
    if (at_once_) {
      if constexpr (bytes == 16) {
        ptx::cp_async_16(stage + destination_, source, clamped(left, 16));
      } else {
        ptx::cp_async_8(stage + destination_, source, clamped(left, 8));
      }
    } else {
#pragma unroll 1
      for (int word = 0; word < bytes; word += 4) {
        ptx::cp_async_4(stage + destination_ + word, source + word, clamped(left - word, 4));
      }
    }
  }

 private:
  static constexpr int bytes = chunk_bitmask_bytes<Format>;

  const uint8_t* source_;
  int row_bytes_, destination_;
  bool at_once_;
};

// The bytes of the bitmask for the octets that lane t of row g + 8 * eight has in a chunk: that of step i in byte i. Bytes beyond the steps mean nothing.
template <class Format>
__device__ __forceinline__ uint32_t read_bitmask(const uint8_t* stage, int g, int eight, int t) {
  const uint8_t* place = stage + 32 * chunk_bytes + (8 * eight + g) * chunk_bitmask_bytes<Format>;
  const uint32_t byte_of_two_steps = 0x40u + 0x11u * static_cast<uint32_t>(t);
  if constexpr (chunk_steps<Format> == 2) {
    const uint2 steps = *reinterpret_cast<const uint2*>(place);
    return ptx::permute(steps.x, steps.y, byte_of_two_steps);
  } else {
    const uint4 steps = *reinterpret_cast<const uint4*>(place);
    return ptx::permute(ptx::permute(steps.x, steps.y, byte_of_two_steps), ptx::permute(steps.z, steps.w, byte_of_two_steps),
                        0x5410);
  }
}

// The bits below K of those that read_bitmask gives in the last chunk: a byte may have others, too. Bytes that are all beyond K are 0.
template <class Format>
__device__ __forceinline__ uint32_t bits_below_end(int64_t K, int t) {
  const int octet = static_cast<int>(K / 8 % (chunk_k<Format> / 8)), bits = static_cast<int>(K % 8);
  return bits == 0 || octet % 4 != t ? ~0u : ~(0xffu << 8 * (octet / 4)) | ((1u << bits) - 1) << 8 * (octet / 4);
}

// Octet `octet` of the slab, of row m of x, in Dot's order: zeros from K on.
template <class Format, class Dot>
__device__ __forceinline__ void load_x_octet(const MmaArgs<Format>& args, int64_t m, int64_t k, uint32_t (&registers)[4]) {
  using Element = typename Dot::Element;
  const int64_t K = args.product.weight.K;
  const Element* x = reinterpret_cast<const Element*>(args.x + m * args.x_row_bytes) + k;
  uint32_t pairs[4] = {};
  if (k + 8 <= K && reinterpret_cast<uintptr_t>(x) % 16 == 0) {
    const uint4 octet = *reinterpret_cast<const uint4*>(x);
    pairs[0] = octet.x, pairs[1] = octet.y, pairs[2] = octet.z, pairs[3] = octet.w;
  } else {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (k + i >= K) continue;
      uint16_t bits;
      memcpy(&bits, x + i, 2);
      pairs[i / 2] |= static_cast<uint32_t>(bits) << 16 * (i % 2);
    }
  }
  Format::order_octet(pairs, registers);
}

// The rows of x from m0 on, a slab from k = 128 * first_chunk on.
template <class Format, class Dot>
__device__ __forceinline__ void stage_x(const MmaArgs<Format>& args, int64_t m0, int rows, int first_chunk,
                                        const MmaLayout& layout, uint8_t* x, int threads) {
  if constexpr (Dot::words == 2) {  // quantized and ordered already
    const int pieces = args.slab_chunks * chunk_k<Format> / 16;
    for (int i = static_cast<int>(threadIdx.x); i < rows * pieces; i += threads) {
      const int row = i / pieces, piece = i % pieces;
      const int64_t offset = int64_t{first_chunk} * chunk_k<Format> + 16 * piece;
      uint4 q = make_uint4(0, 0, 0, 0);
      if (offset < args.x_row_bytes) q = *reinterpret_cast<const uint4*>(args.x + (m0 + row) * args.x_row_bytes + offset);
      *reinterpret_cast<uint4*>(x + row * layout.x_row + 16 * piece) = q;
    }
  } else {
    const int octets = args.slab_chunks * chunk_k<Format> / 8;
    for (int i = static_cast<int>(threadIdx.x); i < rows * octets; i += threads) {
      const int row = i / octets, octet = i % octets;
      uint32_t registers[4];
      load_x_octet<Format, Dot>(args, m0 + row, int64_t{first_chunk} * chunk_k<Format> + 8 * octet, registers);
      uint8_t* step = x + row * layout.x_row + octet / 4 * 64 + octet % 4 * 4;
#pragma unroll
      for (int j = 0; j < 4; ++j) *reinterpret_cast<uint32_t*>(step + 16 * j) = registers[j];
    }
  }
}

// Scale and offset of each piece of the slab and each row of the block; zeros beyond the weight.
template <class Format, class Dot>
__device__ __forceinline__ void stage_parameters(const MmaArgs<Format>& args, int64_t n0, int first_chunk,
                                                 const MmaLayout& layout, uint8_t* parameters, int block_rows, int threads) {
  const typename Format::Weight& w = args.product.weight;
  const int pieces = args.slab_chunks * chunk_steps<Format> >> args.piece_shift;
  for (int i = static_cast<int>(threadIdx.x); i < block_rows * pieces; i += threads) {
    const int row = i / pieces, piece = i % pieces;
    const int64_t n = n0 + row, k = int64_t{first_chunk} * chunk_k<Format> + (int64_t{piece} << args.piece_shift) * step_k;
    float2 value = make_float2(0, 0);
    if (n < w.N && k < w.K) {
      const int64_t group = Format::group_at(w, n, k);
      value = make_float2(Format::scale(w, n, group) * Format::template missing_factor<Dot>, Format::offset(w, n, group));
    }
    *reinterpret_cast<float2*>(parameters + piece * layout.parameter_row + row * sizeof(float2)) = value;
  }
}

// In the place of BitmaskCopies for formats that have no bitmask.
struct NoBitmask {
  template <class... Arguments>
  __device__ __forceinline__ explicit NoBitmask(const Arguments&...) {}
  __device__ __forceinline__ void start(int, uint8_t*) const {}
};

template <class Format, class Dot, int ShapeIndex, Scaling scaling>
__global__ void __launch_bounds__(mma_shapes[ShapeIndex].threads(), mma_shapes[ShapeIndex].resident_blocks)
    mm_mma_kernel(MmaArgs<Format> args) {
  constexpr MmaShape shape = mma_shapes[ShapeIndex];
  constexpr int threads = shape.threads(), n_tiles = shape.n_tiles;
  using Sum = typename Dot::Sum;
  using Total = std::conditional_t<scaling == Scaling::whole_row, Sum, float>;
  TORCHAO_OPS_DYNAMIC_SHARED(uint8_t, shared);

  const int64_t N = args.product.weight.N, M = args.product.mm.M, K = args.product.weight.K;
  const int64_t n0 = int64_t{blockIdx.x} * shape.block_rows(), m0 = int64_t{blockIdx.z} * shape.block_m();
  const int rows = M - m0 < shape.block_m() ? static_cast<int>(M - m0) : shape.block_m();
  const MmaLayout layout = mma_layout<Format, Dot>(shape, rows, args.slab_chunks, args.piece_shift);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, g = lane / 4, t = lane % 4;
  const int warp = thread / 32, warp_n = warp % shape.warps_n, warp_k = warp / shape.warps_n;
  uint8_t* const ring = shared + warp * layout.ring;

  // K < 2^32, so the number of a chunk fits an int.
  const int chunks = static_cast<int>((K + chunk_k<Format> - 1) / chunk_k<Format>),
            first = static_cast<int>(blockIdx.y) * args.split_chunks;
  const int last = chunks - first < args.split_chunks ? chunks : first + args.split_chunks;
  const WeightCopies<Format> copies(args, n0 + 32 * warp_n, lane);
  std::conditional_t<Format::has_bitmask, BitmaskCopies<Format>, NoBitmask> bitmask_copies(args, n0 + 32 * warp_n, lane);
  auto copy = [&](int chunk, int stage) {
    if (chunk < last) {
      copies.start(chunk, ring + stage * stage_bytes<Format>);
      bitmask_copies.start(chunk, ring + stage * stage_bytes<Format>);
    }
    ptx::cp_async_commit();
  };
#pragma unroll
  for (int stage = 0; stage < shape.stages - 1; ++stage) copy(first + warp_k + stage * shape.warps_k, stage);

  [[maybe_unused]] uint32_t breaks[4] = {};  // of row g + 8 * i: what this lane found of Format::broken_bits
  Total sums[2][n_tiles][4] = {};            // of rows 0-15 and 16-31 of the warp, as mma lays them out
  int stage = 0;
  const int piece_mask = (1 << args.piece_shift) - 1;
  for (int slab = first; slab < last; slab += args.slab_chunks) {
    __syncthreads();  // the slab before is not needed any more
    stage_x<Format, Dot>(args, m0, rows, slab, layout, shared + layout.x, threads);
    if (scaling != Scaling::whole_row)
      stage_parameters<Format, Dot>(args, n0, slab, layout, shared + layout.parameters, shape.block_rows(), threads);
    __syncthreads();

    for (int chunk = warp_k; chunk < args.slab_chunks && slab + chunk < last; chunk += shape.warps_k) {
      ptx::cp_async_wait<shape.stages - 2>();
      __syncwarp();  // this chunk has come for all lanes, and all are done with the stage that is filled next
      copy(slab + chunk + (shape.stages - 1) * shape.warps_k, stage == 0 ? shape.stages - 1 : stage - 1);

      uint32_t a[chunk_steps<Format>][2][Dot::mmas][4];
      const uint8_t* codes = ring + stage * stage_bytes<Format>;
      [[maybe_unused]] uint32_t bits[4];
      if constexpr (Format::has_bitmask) {
        const uint32_t looked_at = slab + chunk == chunks - 1 ? bits_below_end<Format>(K, t) : ~0u;
#pragma unroll
        for (int eight = 0; eight < 4; ++eight) {
          bits[eight] = read_bitmask<Format>(codes, g, eight, t) & looked_at;
          if constexpr (Format::breaks_sums) breaks[eight] |= Format::breaks(bits[eight]);
        }
      }
#pragma unroll
      for (int step = 0; step < chunk_steps<Format>; ++step) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          uint32_t lo[Format::octet_words], hi[Format::octet_words];
          read_octet<Format>(codes, g, 2 * half, step, t, lo);
          read_octet<Format>(codes, g, 2 * half + 1, step, t, hi);
          if constexpr (Format::has_bitmask) {
            uint32_t dense_lo[2 * Format::octet_words], dense_hi[2 * Format::octet_words];
            Format::expand(lo, bits[2 * half] >> 8 * step, dense_lo);
            Format::expand(hi, bits[2 * half + 1] >> 8 * step, dense_hi);
            Format::fragments(Dot{}, dense_lo, dense_hi, a[step][half]);
            if constexpr (Format::breaks_sums) {
              breaks[2 * half] |= Format::breaks(Dot{}, dense_lo);
              breaks[2 * half + 1] |= Format::breaks(Dot{}, dense_hi);
            }
          } else {
            Format::fragments(Dot{}, lo, hi, a[step][half]);
            if constexpr (Format::breaks_sums) {
              breaks[2 * half] |= Format::breaks(Dot{}, lo);
              breaks[2 * half + 1] |= Format::breaks(Dot{}, hi);
            }
          }
        }
      }
      stage = stage == shape.stages - 1 ? 0 : stage + 1;

#pragma unroll
      for (int tile = 0; tile < n_tiles; ++tile) {
        // Rows of x that do not exist are columns of the product that nobody looks at: any row will do.
        const int m = 8 * tile + lane % 8;
        const uint8_t* x = shared + layout.x + (m < rows ? m : 0) * layout.x_row +
                           chunk * (chunk_steps<Format> * 16 * Dot::words) + lane / 8 * 16;
        uint32_t b[4];
        Sum products[2][4] = {}, x_sums[4] = {};
#pragma unroll
        for (int step = 0; step < chunk_steps<Format>; ++step) {
          // 64 bytes of x: the four registers of a step, or the two of this one and of the next.
          constexpr int steps_per_load = 4 / Dot::words;
          if (step % steps_per_load == 0) ptx::ldmatrix_x4(b, x + step * 16 * Dot::words);
#pragma unroll
          for (int i = 0; i < Dot::mmas; ++i) {
            const int word = step % steps_per_load * Dot::words + 2 * i;
            const uint32_t pair[2] = {b[word], b[word + 1]};
            if constexpr (scaling == Scaling::whole_row) {
              Dot::mma(sums[0][tile], a[step][0][i], pair);
              Dot::mma(sums[1][tile], a[step][1][i], pair);
            } else {
              Dot::mma(products[0], a[step][0][i], pair);
              Dot::mma(products[1], a[step][1][i], pair);
            }
            if constexpr (scaling == Scaling::pieces_with_offset) {
              constexpr uint32_t ones[4] = {Dot::ones, Dot::ones, Dot::ones, Dot::ones};
              Dot::mma(x_sums, ones, pair);
            }
          }
          if (scaling == Scaling::whole_row || ((step + 1) & piece_mask) != 0) continue;
          const uint8_t* parameters =
              shared + layout.parameters + ((chunk * chunk_steps<Format> + step) >> args.piece_shift) * layout.parameter_row;
#pragma unroll
          for (int half = 0; half < 2; ++half) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
              const int row = 32 * warp_n + 16 * half + g + i / 2 * 8;
              const float2 scale_offset = *reinterpret_cast<const float2*>(parameters + row * sizeof(float2));
              float product = Dot::template to_float<Format::int8_factor>(products[half][i]);
              if constexpr (scaling == Scaling::pieces_with_offset)
                product = __fmaf_rn(scale_offset.y, Dot::template to_float<1>(x_sums[i]), product);
              sums[half][tile][i] = __fmaf_rn(scale_offset.x, product, sums[half][tile][i]);
              products[half][i] = 0;
            }
          }
          if constexpr (scaling == Scaling::pieces_with_offset) x_sums[0] = x_sums[1] = x_sums[2] = x_sums[3] = 0;
        }
      }
    }
  }

  if constexpr (Format::breaks_sums) {
    uint32_t broken = 0;  // bit i: the sums of row g + 8 * i are
#pragma unroll
    for (int eight = 0; eight < 4; ++eight) broken |= (breaks[eight] & Format::broken_bits) != 0 ? 1u << eight : 0;
    broken |= __shfl_xor_sync(all_lanes, broken, 1);
    broken |= __shfl_xor_sync(all_lanes, broken, 2);
#pragma unroll
    for (int eight = 0; eight < 4; ++eight) {
      if ((broken >> eight & 1) == 0) continue;
#pragma unroll
      for (int tile = 0; tile < n_tiles; ++tile) {
        sums[eight / 2][tile][eight % 2 * 2] = sums[eight / 2][tile][eight % 2 * 2 + 1] = broken_sum<Total>();
      }
    }
  }
  ptx::cp_async_wait<0>();
  __syncthreads();  // nobody reads the ring, x or parameters any more: now sums lie there
  Total* const block_sums = reinterpret_cast<Total*>(shared);
  constexpr int sum_row = mma_sum_row(shape);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
#pragma unroll
    for (int tile = 0; tile < n_tiles; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int m = 8 * tile + 2 * t + i % 2, row = 32 * warp_n + 16 * half + g + i / 2 * 8;
        Total sum = sums[half][tile][i];
        if constexpr (scaling == Scaling::whole_row && !std::is_integral_v<Total>) sum *= Format::template missing_factor<Dot>;
        block_sums[(warp_k * shape.block_m() + m) * sum_row + row] = sum;
      }
    }
  }
  __syncthreads();
  for (int i = thread; i < rows * shape.block_rows(); i += threads) {
    const int m = i / shape.block_rows(), row = i % shape.block_rows();
    Total sum = 0;
#pragma unroll
    for (int k = 0; k < shape.warps_k; ++k) sum = add_totals<Format>(sum, block_sums[(k * shape.block_m() + m) * sum_row + row]);
    if (n0 + row >= N) continue;
    if (args.partial == nullptr) {
      finish_total<scaling == Scaling::whole_row>(args.product, m0 + m, n0 + row, sum);
    } else {
      static_cast<Total*>(args.partial)[(int64_t{blockIdx.y} * M + m0 + m) * N + n0 + row] = sum;
    }
  }
}

// ---- host side ----

// Whether the kernel can read the weight: rows aligned to 4 bytes, and those of a bitmask, each step in one group.
template <class Format>
bool supports_mm_mma(const typename Format::Weight& w) {
  if constexpr (Format::has_bitmask) {
    if (reinterpret_cast<uintptr_t>(Format::bitmask(w)) % 4 != 0 || Format::bitmask_row_stride(w) % 4 != 0) return false;
  }
  return reinterpret_cast<uintptr_t>(Format::bytes(w)) % 4 == 0 && Format::row_stride(w) % 4 == 0 &&
         Format::in_one_group(w, step_k);
}

// log2 of the steps in a piece: as many as always lie in one group and in one chunk.
template <class Format>
int mma_piece_shift(const typename Format::Weight& w) {
  int shift = 0;
  while (2 << shift <= chunk_steps<Format> && Format::in_one_group(w, (2 << shift) * step_k)) ++shift;
  return shift;
}

// The largest slab with which as many blocks as intended fit on a multiprocessor, or else one: fewer barriers. 0 if nothing fits.
template <class Format, class Dot>
int mma_slab_chunks(const MmaShape& shape, int m_rows, int piece_shift, const Device& device) {
  constexpr int largest = 8;                      // 1024 of k, 2 KiB a row of 16-bit x
  constexpr int reserved_bytes_per_block = 1024;  // CUDA programming guide, "Compute capability 8.x"
  const int shared = device.shared_bytes_per_multiprocessor / shape.resident_blocks - reserved_bytes_per_block;
  for (const int limit :
       {shared < device.shared_bytes_per_block ? shared : device.shared_bytes_per_block, device.shared_bytes_per_block}) {
    for (int slab = largest; slab >= shape.warps_k; slab /= 2) {
      if (mma_layout<Format, Dot>(shape, m_rows, slab, piece_shift).total <= limit) return slab;
    }
  }
  return 0;
}

template <class Format, class Dot, int ShapeIndex>
Status launch_mm_mma(MmaArgs<Format> args, const MmaPlan& plan, const Context& context) {
  constexpr MmaShape shape = mma_shapes[ShapeIndex];
  const typename Format::Weight& w = args.product.weight;
  const int64_t M = args.product.mm.M;
  const int m_rows = static_cast<int>(M < shape.block_m() ? M : shape.block_m());
  args.piece_shift = mma_piece_shift<Format>(w);
  args.slab_chunks = mma_slab_chunks<Format, Dot>(shape, m_rows, args.piece_shift, context.device);
  args.split_chunks = static_cast<int>(plan.split.split_chunks);
  args.copies_16 = reinterpret_cast<uintptr_t>(Format::bytes(w)) % 16 == 0 && Format::row_stride(w) % 16 == 0;
  if constexpr (Format::has_bitmask) {
    constexpr int bytes = chunk_bitmask_bytes<Format>;
    args.copies_bitmask =
        reinterpret_cast<uintptr_t>(Format::bitmask(w)) % bytes == 0 && Format::bitmask_row_stride(w) % bytes == 0;
  }
  if (args.slab_chunks == 0) {
    return set_last_error(Status::cuda_failed, "mm_mma_kernel", "this device has too little shared memory");
  }
  const int layout_bytes = mma_layout<Format, Dot>(shape, m_rows, args.slab_chunks, args.piece_shift).total;
  const int shared_bytes = layout_bytes > mma_sum_bytes(shape) ? layout_bytes : mma_sum_bytes(shape);
  const dim3 grid(static_cast<unsigned>(ceil_div(w.N, shape.block_rows())), static_cast<unsigned>(plan.split.splits),
                  static_cast<unsigned>(ceil_div(M, shape.block_m())));
  const auto launch_with = [&](auto kernel, auto add_splits) {
    const Status status = launch("mm_mma_kernel", kernel, grid, dim3(shape.threads()), shared_bytes, context.stream, args);
    if (status != Status::ok || args.partial == nullptr) return status;
    return launch("mm_add_splits_kernel", add_splits, grid_of(ceil_div(w.N, 256), M), dim3(256), 0, context.stream, args.product,
                  args.partial, static_cast<int>(plan.split.splits));
  };
  // Kernels are named only where a format can come to them: to name one is to compile it.
  if constexpr (Format::has_row_scales || Format::sums_whole_rows || (!Format::has_offsets && std::is_same_v<Dot, Int8Dot>)) {
    if (Format::has_row_scales || (w.group_size >= w.K && w.K <= Format::exact_k)) {
      return launch_with(mm_mma_kernel<Format, Dot, ShapeIndex, Scaling::whole_row>,
                         mm_add_splits_kernel<true, Format, typename Dot::Sum>);
    }
  }
  if constexpr (Format::has_offsets) {
    if (Format::has_offset(w)) {
      return launch_with(mm_mma_kernel<Format, Dot, ShapeIndex, Scaling::pieces_with_offset>,
                         mm_add_splits_kernel<false, Format, float>);
    }
  }
  if constexpr (!Format::has_row_scales) {
    return launch_with(mm_mma_kernel<Format, Dot, ShapeIndex, Scaling::pieces>, mm_add_splits_kernel<false, Format, float>);
  }
}

// The product by the plan. `partial`: plan.partial_bytes() on the device. x: as MmaArgs has it.
template <class Format, class Dot>
Status run_mm_mma(const Product<Format>& product, const uint8_t* x, int64_t x_row_bytes, void* partial, const MmaPlan& plan,
                  const Context& context) {
  const int64_t x_size = size_of(product.mm.x_type);
  for (int64_t m = 0; m < product.mm.M; m += plan.rows_per_launch) {
    MmaArgs<Format> args{};
    args.product = product;
    args.product.mm.M = product.mm.M - m < plan.rows_per_launch ? product.mm.M - m : plan.rows_per_launch;
    args.product.mm.x = static_cast<const uint8_t*>(product.mm.x) + m * product.mm.x_row_stride * x_size;
    args.product.mm.y = static_cast<uint8_t*>(product.mm.y) + m * product.weight.N * x_size;
    if (product.x_scale != nullptr) args.product.x_scale = product.x_scale + m;
    args.x = x + m * x_row_bytes;
    args.x_row_bytes = x_row_bytes;
    args.partial = plan.split.splits == 1 ? nullptr : partial;
    Status status = Status::ok;
    switch (plan.shape) {
      case 0: status = launch_mm_mma<Format, Dot, 0>(args, plan, context); break;
      case 1: status = launch_mm_mma<Format, Dot, 1>(args, plan, context); break;
      case 2: status = launch_mm_mma<Format, Dot, 2>(args, plan, context); break;
      default: status = launch_mm_mma<Format, Dot, 3>(args, plan, context); break;
    }
    if (status != Status::ok) return status;
  }
  return Status::ok;
}

template <class Format>
MmaPlan mma_plan_of(const MmArgs& mm, const typename Format::Weight& weight, const Device& device) {
  return mma_plan(mm.M, weight.N, weight.K, chunk_k<Format>, batch_invariant(), device);
}

// The product of x in fp16 or bf16, and that of x quantized into the workspace first.
template <class Format>
Status multiply_mma(const MmArgs& mm, const typename Format::Weight& weight, const Context& context) {
  const auto run = mm.x_type == FloatType::bf16 ? run_mm_mma<Format, Bf16Dot> : run_mm_mma<Format, F16Dot>;
  return run({mm, weight, nullptr}, static_cast<const uint8_t*>(mm.x), mm.x_row_stride * size_of(mm.x_type), context.workspace,
             mma_plan_of<Format>(mm, weight, context.device), context);
}
template <class Format>
Status multiply_dynamic_mma(const MmArgs& mm, const typename Format::Weight& weight, const Context& context) {
  const QuantizedX x(mm.M, weight.K, context.workspace);
  const Status status = quantize_activations(mm, weight.K, Format::octet_order, x, context);
  if (status != Status::ok) return status;
  return run_mm_mma<Format, Int8Dot>({mm, weight, x.scale}, x.q, x.row_bytes, x.rest,
                                     mma_plan_of<Format>(mm, weight, context.device), context);
}

// That of x rounded to an 8-bit float, as fp16.
template <class Format>
Status multiply_rounded_mma(const MmArgs& mm, const typename Format::Weight& weight, Float8Type type, const Context& context) {
  const QuantizedX x = rounded_x(mm.M, weight.K, context.workspace);
  const Status status = round_activations(mm, weight.K, type, x, context);
  if (status != Status::ok) return status;
  return run_mm_mma<Format, F16Dot>({mm, weight, x.scale}, x.q, x.row_bytes, x.rest,
                                    mma_plan_of<Format>(mm, weight, context.device), context);
}

}  // namespace torchao_ops::cuda
