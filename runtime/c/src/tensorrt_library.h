// TensorRT or TensorRT-RTX. The two have one interface, and the files that include this one are compiled once for each
// whose headers are there, in a namespace of its own; CMake gives the headers' namespace another name for the second,
// since both would be called nvinfer1.
#pragma once

#include <NvInferRuntime.h>

#include <mutex>
#include <string>

#ifdef CFACK_TENSORRT_RTX
#define CFACK_ENGINES tensorrt_rtx
#else
#define CFACK_ENGINES tensorrt
#endif

namespace cfack {
namespace CFACK_ENGINES {

namespace trt = nvinfer1;

#ifdef CFACK_TENSORRT_RTX
constexpr const char* kBuilder = "tensorrt-rtx";
constexpr const char* kTitle = "TensorRT-RTX";
constexpr const char* kVariable = "CFACK_TENSORRT_RTX";
constexpr const char* kStem = "libtensorrt_rtx.so.";
#else
constexpr const char* kBuilder = "tensorrt";
constexpr const char* kTitle = "TensorRT";
constexpr const char* kVariable = "CFACK_TENSORRT";
constexpr const char* kStem = "libnvinfer.so.";
#endif

// Errors that the library tells of, kept for the message of the failure that follows.
class Log : public trt::ILogger {
 public:
  void log(Severity severity, trt::AsciiChar const* message) noexcept override {
    if (severity > Severity::kERROR) return;
    try {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (said_.size() < kLongest) said_ += (said_.empty() ? "" : "; ") + std::string(message);
    } catch (...) {  // no memory for a message is no failure of its own
    }
  }
  std::string take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::string said;
    said.swap(said_);
    return said.empty() ? "no reason given" : said;
  }

 private:
  static constexpr size_t kLongest = 1000;

  std::mutex mutex_;
  std::string said_;
};

}  // namespace CFACK_ENGINES
}  // namespace cfack
