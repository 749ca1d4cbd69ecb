# Finds the C headers of ONNX Runtime; the library itself is loaded when a program runs.
#
#   ONNXRUNTIME_INCLUDE_DIR   the folder of onnxruntime_c_api.h; looked for where it is not given
#   ONNXRuntime::Headers      target with that folder
#
# The configuration of the official archives is not used: its paths are wrong.
find_path(ONNXRUNTIME_INCLUDE_DIR onnxruntime_c_api.h
  HINTS "${CMAKE_BINARY_DIR}/onnxruntime/include" PATH_SUFFIXES onnxruntime onnxruntime/core/session)
set(ONNXRuntime_VERSION "")
if(ONNXRUNTIME_INCLUDE_DIR)
  file(STRINGS "${ONNXRUNTIME_INCLUDE_DIR}/onnxruntime_c_api.h" _line REGEX "^#define ORT_API_VERSION [0-9]+")
  string(REGEX REPLACE "[^0-9]" "" ONNXRuntime_VERSION "${_line}")
  set(ONNXRuntime_VERSION "1.${ONNXRuntime_VERSION}")
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(ONNXRuntime REQUIRED_VARS ONNXRUNTIME_INCLUDE_DIR VERSION_VAR ONNXRuntime_VERSION
  REASON_FAILURE_MESSAGE "run tools/fetch_onnxruntime_headers.sh BUILD/onnxruntime, or give -DONNXRUNTIME_INCLUDE_DIR=")
if(ONNXRuntime_FOUND AND NOT TARGET ONNXRuntime::Headers)
  add_library(ONNXRuntime::Headers INTERFACE IMPORTED)
  set_target_properties(ONNXRuntime::Headers PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${ONNXRUNTIME_INCLUDE_DIR}")
endif()
mark_as_advanced(ONNXRUNTIME_INCLUDE_DIR)
