// AVX-512 intrinsics in plain C++, so that the AVX-512 kernels' very sources run, and meet the reference, on a CPU that has no AVX-512:
// SIMDe, and below it the few intrinsics that Debian's version of it lacks.
//
// This shows that the kernels compute the right numbers and touch the right memory; it shows nothing about speed, and it shares with the kernels
// whatever was misread about an instruction both here and there.
#pragma once

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace avx512_host {

inline simde__m512 cvtepi32_ps(simde__m512i a) {
  int32_t in[16];
  float out[16];
  std::memcpy(in, &a, sizeof(in));
  for (int i = 0; i < 16; ++i) out[i] = static_cast<float>(in[i]);
  simde__m512 result;
  std::memcpy(&result, out, sizeof(out));
  return result;
}

inline simde__m512i cvtps_epi32(simde__m512 a) {
  float in[16];
  int32_t out[16];
  std::memcpy(in, &a, sizeof(in));
  for (int i = 0; i < 16; ++i) out[i] = static_cast<int32_t>(std::nearbyint(in[i]));
  simde__m512i result;
  std::memcpy(&result, out, sizeof(out));
  return result;
}

inline simde__m512i cvtepi8_epi32(__m128i a) {
  int8_t in[16];
  int32_t out[16];
  std::memcpy(in, &a, sizeof(in));
  for (int i = 0; i < 16; ++i) out[i] = in[i];
  simde__m512i result;
  std::memcpy(&result, out, sizeof(out));
  return result;
}

inline simde__m512i cvtepu8_epi16(__m256i a) {
  uint8_t in[32];
  uint16_t out[32];
  std::memcpy(in, &a, sizeof(in));
  for (int i = 0; i < 32; ++i) out[i] = in[i];
  simde__m512i result;
  std::memcpy(&result, out, sizeof(out));
  return result;
}

inline simde__m512i cvtepu16_epi32(__m256i a) {
  uint16_t in[16];
  uint32_t out[16];
  std::memcpy(in, &a, sizeof(in));
  for (int i = 0; i < 16; ++i) out[i] = in[i];
  simde__m512i result;
  std::memcpy(&result, out, sizeof(out));
  return result;
}

inline __m256i cvtepi32_epi16(simde__m512i a) {
  uint32_t in[16];
  uint16_t out[16];
  std::memcpy(in, &a, sizeof(in));
  for (int i = 0; i < 16; ++i) out[i] = static_cast<uint16_t>(in[i]);
  __m256i result;
  std::memcpy(&result, out, sizeof(out));
  return result;
}

// The lowest numbers of `a` in the places that the mask marks, in order.
inline simde__m512i maskz_expand_epi16(uint32_t mask, simde__m512i a) {
  uint16_t in[32], out[32];
  std::memcpy(in, &a, sizeof(in));
  for (int i = 0, next = 0; i < 32; ++i) out[i] = (mask >> i & 1) != 0 ? in[next++] : uint16_t{0};
  simde__m512i result;
  std::memcpy(&result, out, sizeof(out));
  return result;
}

// Each number of the result is one of the four of its 128 bits.
inline simde__m512 permutevar_ps(simde__m512 a, simde__m512i index) {
  float in[16], out[16];
  uint32_t indices[16];
  std::memcpy(in, &a, sizeof(in));
  std::memcpy(indices, &index, sizeof(indices));
  for (int i = 0; i < 16; ++i) out[i] = in[i / 4 * 4 + indices[i] % 4];
  simde__m512 result;
  std::memcpy(&result, out, sizeof(out));
  return result;
}

inline simde__m512 cvtph_ps(__m256i a) {
  const __m256 halves[2] = {_mm256_cvtph_ps(_mm256_castsi256_si128(a)), _mm256_cvtph_ps(_mm256_extracti128_si256(a, 1))};
  simde__m512 result;
  std::memcpy(&result, halves, sizeof(halves));
  return result;
}

// Faults where the instruction would.
inline void stream_si512(void* p, simde__m512i a) {
  if (reinterpret_cast<uintptr_t>(p) % sizeof(a) != 0) std::abort();
  std::memcpy(p, &a, sizeof(a));
}

}  // namespace avx512_host

#define _mm512_cvtepu8_epi16(a) avx512_host::cvtepu8_epi16(a)
#define _mm512_cvtepi8_epi32(a) avx512_host::cvtepi8_epi32(a)
#define _mm512_cvtepu16_epi32(a) avx512_host::cvtepu16_epi32(a)
#define _mm512_permutevar_ps(a, index) avx512_host::permutevar_ps(a, index)
#define _mm512_cvtepi32_epi16(a) avx512_host::cvtepi32_epi16(a)
#define _mm512_maskz_expand_epi16(mask, a) avx512_host::maskz_expand_epi16(mask, a)
#define _mm512_cvtepi32_ps(a) avx512_host::cvtepi32_ps(a)
#define _mm512_cvtph_ps(a) avx512_host::cvtph_ps(a)
#define _mm512_cvtps_epi32(a) avx512_host::cvtps_epi32(a)
#define _mm512_stream_si512(p, a) avx512_host::stream_si512(p, a)
