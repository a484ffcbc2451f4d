# stable_torch: the headers of PyTorch's stable ABI and libtorch_cpu to link with. Needs only torch's include and lib folders, found through the
# Python that has torch (TORCHAO_OPS_PYTHON) or given as TORCHAO_OPS_TORCH_DIR.

if(SKBUILD)  # scikit-build-core, for a wheel, says which Python it builds with
  set(default_python "${Python_EXECUTABLE}")
else()
  set(default_python "${CMAKE_CURRENT_SOURCE_DIR}/.venv/bin/python")
endif()
set(TORCHAO_OPS_PYTHON "${default_python}" CACHE FILEPATH "A Python that has torch installed")
set(TORCHAO_OPS_TORCH_DIR "" CACHE PATH "The folder of the torch package, with include/ and lib/")

if(NOT TORCHAO_OPS_TORCH_DIR)
  execute_process(
    COMMAND ${TORCHAO_OPS_PYTHON} -c
      "import importlib.util, os; print(os.path.dirname(importlib.util.find_spec('torch').origin))"
    OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "No torch in ${TORCHAO_OPS_PYTHON}: run `make setup`, or set TORCHAO_OPS_PYTHON or TORCHAO_OPS_TORCH_DIR")
  endif()
  set(TORCHAO_OPS_TORCH_DIR "${found}" CACHE PATH "The folder of the torch package, with include/ and lib/" FORCE)
endif()

add_library(stable_torch INTERFACE)
target_include_directories(stable_torch SYSTEM INTERFACE ${TORCHAO_OPS_TORCH_DIR}/include)
# 2.10 is the oldest torch that the library loads in; newer functions are hidden from us by this.
target_compile_definitions(stable_torch INTERFACE TORCH_TARGET_VERSION=0x020a000000000000)
# --no-as-needed: the registration runs before the first call into libtorch, so the linker sees no use of it.
target_link_libraries(stable_torch INTERFACE -Wl,--no-as-needed ${TORCHAO_OPS_TORCH_DIR}/lib/libtorch_cpu.so -Wl,--as-needed)
