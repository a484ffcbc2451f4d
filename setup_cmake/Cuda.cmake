# The CUDA kernels: the object library torchao_ops_cuda, if TORCHAO_OPS_BUILD_CUDA says that they are built.
#
#   TORCHAO_OPS_CUDA=AUTO|ON|OFF      AUTO builds them where there is an nvcc; the environment variable of this name is the default
#   TORCHAO_OPS_CUDA_ARCHITECTURES    for which devices, written as for CMAKE_CUDA_ARCHITECTURES
#
# The library asks nothing of CUDA from the machine that loads it: the runtime is linked statically and opens the driver at the first call, and
# cuBLASLt and torch's current stream are looked up when a call needs them (csrc/cuda/gemm.cpp, csrc/ops/cuda.cpp).

set(TORCHAO_OPS_CUDA_SOURCES csrc/cuda/cusparselt.cpp csrc/cuda/device.cu csrc/cuda/gemm.cpp csrc/cuda/int8_dynamic_mm_prefill.cu csrc/cuda/mm_mma.cpp
  csrc/cuda/quantize_activations.cu)
foreach(format int4 int8)
  foreach(file quantize dequantize mm dynamic_mm mm_mma mm_mma_bf16 mm_mma_f16 mm_mma_int8 mm_simt mm_prefill)
    list(APPEND TORCHAO_OPS_CUDA_SOURCES csrc/cuda/${format}_${file}.cu)
  endforeach()
endforeach()
foreach(file quantize quantize_absmax dequantize mm mm_mma mm_mma_bf16 mm_mma_f16 mm_simt mm_prefill mm_transposed)
  list(APPEND TORCHAO_OPS_CUDA_SOURCES csrc/cuda/nf4_${file}.cu)
endforeach()
foreach(file prune compress decompress violation mm dynamic_mm dynamic_mm_prefill mm_mma mm_mma_bf16 mm_mma_f16 mm_mma_int8 mm_simt
    mm_prefill cusparselt)
  list(APPEND TORCHAO_OPS_CUDA_SOURCES csrc/cuda/sparse24_${file}.cu)
endforeach()
foreach(file quantize dequantize mm dynamic_mm dynamic_mm_prefill scaled_mm product mm_mma mm_mma_bf16 mm_mma_f16 mm_simt mm_prefill)
  list(APPEND TORCHAO_OPS_CUDA_SOURCES csrc/cuda/fp8_${file}.cu)
endforeach()

set(default_cuda AUTO)
if(NOT "$ENV{TORCHAO_OPS_CUDA}" STREQUAL "")
  set(default_cuda "$ENV{TORCHAO_OPS_CUDA}")
endif()
set(TORCHAO_OPS_CUDA "${default_cuda}" CACHE STRING "CUDA kernels: AUTO (where there is an nvcc), ON or OFF")
# Code for each generation, Hopper's with the instructions that only Hopper has (a), and PTX that the driver compiles for later ones.
set(TORCHAO_OPS_CUDA_ARCHITECTURES "80-real;86-real;89-real;90a-real;80-virtual" CACHE STRING "CUDA devices to build for")

set(TORCHAO_OPS_BUILD_CUDA OFF)
if(NOT TORCHAO_OPS_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "TORCHAO_OPS_CUDA must be AUTO, ON or OFF, but got ${TORCHAO_OPS_CUDA}")
endif()

# Stops the configuration where CUDA was asked for, and says why it is not built where it was not.
macro(torchao_ops_without_cuda reason)
  if(TORCHAO_OPS_CUDA STREQUAL "ON")
    message(FATAL_ERROR "TORCHAO_OPS_CUDA=ON, but ${reason}")
  endif()
  message(STATUS "CUDA kernels: not built, ${reason}")
  return()
endmacro()

if(TORCHAO_OPS_CUDA STREQUAL "OFF")
  message(STATUS "CUDA kernels: not built, TORCHAO_OPS_CUDA=OFF")
  return()
endif()
if(TORCHAO_OPS_SANITIZE)
  torchao_ops_without_cuda("the sanitizers of the host compiler do not know device code")
endif()

find_program(TORCHAO_OPS_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
mark_as_advanced(TORCHAO_OPS_NVCC)
if(NOT CMAKE_CUDA_COMPILER AND TORCHAO_OPS_NVCC AND "$ENV{CUDACXX}" STREQUAL "")
  set(ENV{CUDACXX} ${TORCHAO_OPS_NVCC})  # found outside PATH as well
endif()
if(NOT CMAKE_CUDA_HOST_COMPILER AND "$ENV{CUDAHOSTCXX}" STREQUAL "")
  set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
endif()
set(CMAKE_CUDA_ARCHITECTURES ${TORCHAO_OPS_CUDA_ARCHITECTURES})
if(NOT CMAKE_CUDA_COMPILER)
  unset(CMAKE_CUDA_COMPILER CACHE)  # an earlier search found none: look again
endif()
include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  torchao_ops_without_cuda("no nvcc that works was found (CUDACXX names one)")
endif()
enable_language(CUDA)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.0)  # the first that knows sm_90a
  torchao_ops_without_cuda("nvcc is ${CMAKE_CUDA_COMPILER_VERSION} and 12.0 is needed")
endif()
# Some toolkits come without the headers of their libraries; torch's packages have them, too.
find_path(TORCHAO_OPS_CUBLASLT_INCLUDE_DIR cublasLt.h HINTS ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES}
  PATHS ${TORCHAO_OPS_TORCH_DIR}/../nvidia/cu13/include ${TORCHAO_OPS_TORCH_DIR}/../nvidia/cublas/include)
mark_as_advanced(TORCHAO_OPS_CUBLASLT_INCLUDE_DIR)
if(NOT TORCHAO_OPS_CUBLASLT_INCLUDE_DIR)
  torchao_ops_without_cuda("cublasLt.h was not found (TORCHAO_OPS_CUBLASLT_INCLUDE_DIR names its folder)")
endif()
# It comes with torch's packages only, and includes cusparse.h. Without it the library says at the call that it was built so.
find_path(TORCHAO_OPS_CUSPARSELT_INCLUDE_DIR cusparseLt.h HINTS ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES}
  PATHS ${TORCHAO_OPS_TORCH_DIR}/../nvidia/cusparselt/include)
find_path(TORCHAO_OPS_CUSPARSE_INCLUDE_DIR cusparse.h HINTS ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES}
  PATHS ${TORCHAO_OPS_TORCH_DIR}/../nvidia/cu13/include ${TORCHAO_OPS_TORCH_DIR}/../nvidia/cusparse/include)
mark_as_advanced(TORCHAO_OPS_CUSPARSELT_INCLUDE_DIR TORCHAO_OPS_CUSPARSE_INCLUDE_DIR)
find_package(CUDAToolkit REQUIRED)

set(TORCHAO_OPS_BUILD_CUDA ON)
message(STATUS "CUDA kernels: built by nvcc ${CMAKE_CUDA_COMPILER_VERSION} for ${TORCHAO_OPS_CUDA_ARCHITECTURES}")

add_library(torchao_ops_cuda OBJECT ${TORCHAO_OPS_CUDA_SOURCES})
set_target_properties(torchao_ops_cuda PROPERTIES
  CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON CUDA_EXTENSIONS OFF CUDA_VISIBILITY_PRESET hidden CUDA_RUNTIME_LIBRARY Static
  CUDA_ARCHITECTURES "${TORCHAO_OPS_CUDA_ARCHITECTURES}")
target_include_directories(torchao_ops_cuda PUBLIC ${PROJECT_SOURCE_DIR})
target_include_directories(torchao_ops_cuda SYSTEM PRIVATE
  ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES} ${TORCHAO_OPS_CUBLASLT_INCLUDE_DIR})
set(TORCHAO_OPS_HAS_CUSPARSELT OFF)
if(TORCHAO_OPS_CUSPARSELT_INCLUDE_DIR AND TORCHAO_OPS_CUSPARSE_INCLUDE_DIR)
  set(TORCHAO_OPS_HAS_CUSPARSELT ON)
  target_include_directories(torchao_ops_cuda SYSTEM PRIVATE
    ${TORCHAO_OPS_CUSPARSELT_INCLUDE_DIR} ${TORCHAO_OPS_CUSPARSE_INCLUDE_DIR})
  set_source_files_properties(csrc/cuda/cusparselt.cpp PROPERTIES COMPILE_DEFINITIONS TORCHAO_OPS_CUSPARSELT)
else()
  message(STATUS "CUDA kernels: without cuSPARSELt, cusparseLt.h was not found (TORCHAO_OPS_CUSPARSELT_INCLUDE_DIR names its folder)")
endif()
# As on the host: a product and a sum are fused only where a kernel says so.
target_compile_options(torchao_ops_cuda PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:--fmad=false>)
# A user of the objects is linked by the C++ compiler: without relocatable device code there is nothing for nvcc to link.
target_link_libraries(torchao_ops_cuda PUBLIC CUDA::cudart_static)

# The names that torch.cuda.get_arch_list() uses, separated by spaces.
set(arch_names)
foreach(architecture IN LISTS TORCHAO_OPS_CUDA_ARCHITECTURES)
  string(REGEX REPLACE "-(real|virtual)$" "" number ${architecture})
  if(NOT architecture MATCHES "-virtual$")
    list(APPEND arch_names sm_${number})
  endif()
  if(NOT architecture MATCHES "-real$")
    list(APPEND arch_names compute_${number})
  endif()
endforeach()
list(JOIN arch_names " " TORCHAO_OPS_CUDA_ARCH_NAMES)
