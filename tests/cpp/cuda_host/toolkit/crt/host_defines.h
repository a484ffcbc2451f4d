// What CUDA C++'s qualifiers are to a host compiler, for toolkit headers that come without this one (those beside torch in its environment).
#pragma once

#define __host__
#define __device__
#define __global__
#define __constant__
#define __shared__
#define __managed__
#define __forceinline__ __inline__ __attribute__((always_inline))
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __builtin_align__(bytes) __align__(bytes)

// Attributes that mark what nvcc knows itself.
#define __device_builtin__
#define __cudart_builtin__
#define __device_builtin_surface_type__
#define __device_builtin_texture_type__

#define CUDARTAPI
#define CUDARTAPI_CDECL
