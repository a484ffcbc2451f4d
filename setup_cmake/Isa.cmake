# torchao_ops_isa_library(<isa> <sources>...): the object library torchao_ops_<isa>, compiled for that instruction set.
#
# Its objects must not define weak symbols (a ctest checks): the linker keeps one copy of each for the whole library, and might keep the one
# that an old CPU cannot execute.

set(TORCHAO_OPS_ISA_FLAGS_scalar)
set(TORCHAO_OPS_ISA_FLAGS_avx2 -mavx2 -mfma -mf16c)
set(TORCHAO_OPS_ISA_FLAGS_avx512
  ${TORCHAO_OPS_ISA_FLAGS_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vbmi -mavx512vnni -mprefer-vector-width=512
  -Wno-uninitialized -Wno-maybe-uninitialized)  # false: GCC's own AVX-512 headers pass an undefined vector on purpose
set(TORCHAO_OPS_ISA_FLAGS_avx512_bf16 ${TORCHAO_OPS_ISA_FLAGS_avx512} -mavx512bf16)
set(TORCHAO_OPS_ISA_FLAGS_avx512_vbmi2 ${TORCHAO_OPS_ISA_FLAGS_avx512_bf16} -mavx512vbmi2)

function(torchao_ops_isa_library isa)
  add_library(torchao_ops_${isa} OBJECT ${ARGN})
  target_include_directories(torchao_ops_${isa} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
  # Kernels do not throw; without exceptions there is no weak reference to their personality routine either.
  target_compile_options(torchao_ops_${isa} PRIVATE -fno-exceptions ${TORCHAO_OPS_ISA_FLAGS_${isa}})
  if(NOT TORCHAO_OPS_SANITIZE)
    target_compile_options(torchao_ops_${isa} PRIVATE -O3)
  endif()
endfunction()
