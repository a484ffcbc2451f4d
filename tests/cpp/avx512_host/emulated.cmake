# test_<name>_avx512_emulated: the kernel tests once more, with the AVX-512 kernels compiled against SIMDe's plain C++ in the place of the real
# ones. On every machine, so that a CPU without AVX-512 tests those kernels' sources too.
find_path(SIMDE_INCLUDE_DIR simde/x86/avx512.h REQUIRED)
# -O1: SIMDe's functions are large, and optimizing them takes minutes and saves seconds.
add_library(torchao_ops_avx512_emulated OBJECT)
foreach(source IN LISTS TORCHAO_OPS_AVX512_SOURCES TORCHAO_OPS_AVX512_BF16_SOURCES)
  target_sources(torchao_ops_avx512_emulated PRIVATE ${PROJECT_SOURCE_DIR}/${source})
endforeach()
target_include_directories(torchao_ops_avx512_emulated PRIVATE ${PROJECT_SOURCE_DIR})
target_include_directories(torchao_ops_avx512_emulated SYSTEM PRIVATE ${SIMDE_INCLUDE_DIR})
target_compile_definitions(torchao_ops_avx512_emulated PRIVATE TORCHAO_OPS_EMULATE_AVX512)
target_compile_options(torchao_ops_avx512_emulated PRIVATE ${TORCHAO_OPS_ISA_FLAGS_avx2} -O1 -w)

foreach(name test_int4_dequantize test_int4_mm)
  add_executable(${name}_avx512_emulated ${name}.cpp kernels.cpp)
  target_compile_definitions(${name}_avx512_emulated PRIVATE TORCHAO_OPS_EMULATE_AVX512)
  target_link_libraries(${name}_avx512_emulated PRIVATE
    torchao_ops_test_support torchao_ops_spec ${TORCHAO_OPS_COMMON_KERNELS} torchao_ops_avx512_emulated)
  add_test(NAME ${name}_avx512_emulated COMMAND ${name}_avx512_emulated)
endforeach()
