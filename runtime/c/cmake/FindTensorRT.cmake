# Finds the headers of TensorRT and of TensorRT-RTX, whose files have the same names; the libraries are loaded when a
# program runs.
#
#   TENSORRT_INCLUDE_DIR      the folder of TensorRT's NvInferRuntime.h; looked for where it is not given
#   TENSORRT_RTX_INCLUDE_DIR  the same of TensorRT-RTX; only used if it is given
#   CUDA_INCLUDE_DIR          the folder of cuda_runtime_api.h, which both need
#   TensorRT_FOUND, TensorRT_RTX_FOUND
#   TensorRT::Headers, TensorRT_RTX::Headers
find_path(CUDA_INCLUDE_DIR cuda_runtime_api.h HINTS ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES include)
find_path(TENSORRT_INCLUDE_DIR NvInferRuntime.h)
set(TENSORRT_RTX_INCLUDE_DIR "" CACHE PATH "Folder of TensorRT-RTX's headers")
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(TensorRT REQUIRED_VARS TENSORRT_INCLUDE_DIR CUDA_INCLUDE_DIR)
set(TensorRT_RTX_FOUND FALSE)
if(TENSORRT_RTX_INCLUDE_DIR)
  if(NOT CUDA_INCLUDE_DIR OR NOT EXISTS "${TENSORRT_RTX_INCLUDE_DIR}/NvInferRuntime.h")
    message(FATAL_ERROR "TENSORRT_RTX_INCLUDE_DIR needs a NvInferRuntime.h, and CUDA_INCLUDE_DIR a cuda_runtime_api.h")
  endif()
  set(TensorRT_RTX_FOUND TRUE)
endif()
foreach(kind TensorRT TensorRT_RTX)
  if(${kind}_FOUND AND NOT TARGET ${kind}::Headers)
    string(TOUPPER ${kind} name)
    add_library(${kind}::Headers INTERFACE IMPORTED)
    set_target_properties(${kind}::Headers PROPERTIES
      INTERFACE_INCLUDE_DIRECTORIES "${${name}_INCLUDE_DIR};${CUDA_INCLUDE_DIR}")
  endif()
endforeach()
mark_as_advanced(TENSORRT_INCLUDE_DIR TENSORRT_RTX_INCLUDE_DIR CUDA_INCLUDE_DIR)
