# What `cmake --install` puts where:
#   lib/libtorchao_ops.so, include/torchao_ops.h, lib/cmake/torchao_ops: find_package(torchao_ops), target torchao_ops::torchao_ops
#   component `python` (only when asked for): torchao_ops/libtorchao_ops.so, a wheel's part
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set_target_properties(torchao_ops PROPERTIES
  # No path of the machine that built it. A program that uses torch has libtorch loaded already, under the same name; the relative path is
  # for a wheel whose library is opened first: site-packages/torchao_ops/ beside site-packages/torch/.
  INSTALL_RPATH "$ORIGIN/../torch/lib"
  INSTALL_RPATH_USE_LINK_PATH OFF)

# A program that calls operators by their names alone uses no symbol of the library: without --no-as-needed some linkers drop it, and no
# operator gets registered.
target_link_options(torchao_ops INTERFACE
  "$<INSTALL_INTERFACE:-Wl,--push-state,--no-as-needed,$<TARGET_FILE:torchao_ops::torchao_ops>,--pop-state>")
target_include_directories(torchao_ops INTERFACE "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
target_compile_features(torchao_ops INTERFACE cxx_std_17)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/torchao_ops)
configure_package_config_file(
  ${CMAKE_CURRENT_LIST_DIR}/torchao_opsConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/torchao_opsConfig.cmake
  INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/torchao_opsConfigVersion.cmake COMPATIBILITY SameMinorVersion)

install(TARGETS torchao_ops EXPORT torchao_ops LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT cpp)
install(FILES csrc/ops/torchao_ops.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT cpp)
install(EXPORT torchao_ops NAMESPACE torchao_ops:: DESTINATION ${package_dir} FILE torchao_opsTargets.cmake COMPONENT cpp)
install(
  FILES ${CMAKE_CURRENT_BINARY_DIR}/torchao_opsConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/torchao_opsConfigVersion.cmake
  DESTINATION ${package_dir} COMPONENT cpp)

install(TARGETS torchao_ops LIBRARY DESTINATION torchao_ops COMPONENT python EXCLUDE_FROM_ALL)
